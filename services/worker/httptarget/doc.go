// Package httptarget lets a worker hand its tasks to HTTP servers, so that a program in any language
// can handle them. A YAML file says which task names go where:
//
//	allow: [127.0.0.1/32]                 # networks beyond the public internet
//	targets:
//	  sendEmail:                          # a task name
//	    url: https://mail.example.com/tasks
//	    headers:
//	      Authorization: Bearer ${MAIL_TOKEN}
//	    timeout: 30s                      # without: 60s
//	    secret: ${MAIL_SECRET}            # without: requests are not signed
//	  img.*:                              # a pattern; the longest that matches wins
//	    url: http://127.0.0.1:8080/images
//	  "*":                                # all others; YAML wants the quotes
//	    url: http://127.0.0.1:8080/other
//
// ${NAME} in a url, a header or a secret stands for an environment variable, which must be set; $${ is
// a plain ${.
//
// A target is called only at an address of the public internet or of a network under allow, whatever
// its name means at that moment; link-local addresses, where clouds keep their metadata, are never
// called. See infra/webhook.
//
// # The request
//
// A POST whose body is the payload, with the headers Tasklog-Task-Id, Tasklog-Task-Name, Tasklog-Queue,
// Tasklog-Attempt, Idempotency-Key (the task id: in rare cases a task runs twice), traceparent when the
// task has one, and with a secret Tasklog-Signature; see infra/webhook.
//
// # The answer
//
//	2xx              the task is completed; the body is its result, at most 1 MiB: JSON as it is,
//	                 other text as a JSON string
//	408, 425, 429    the attempt failed and is tried again, when Retry-After says if that is there
//	4xx otherwise    the task failed for good
//	anything else    the attempt failed and is tried again, also by Retry-After; redirects are not followed
//	none             within the timeout, the attempt failed and is tried again
package httptarget
