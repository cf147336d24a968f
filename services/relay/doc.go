// Package relay tells the world outside what happened: it follows the log and hands the chosen events
// to a webhook, or to any publisher of Watermill.
//
// # The router
//
//	tasklog:{p}:events ── watermill-redisstream's subscriber, group "relay"; one for each partition
//	      │                 under a supervisor, with a Redis client of its own
//	   poison ──────────── after the last try: tasklog:{p}:relay:poison, readable by redis-cli
//	      └ retry ──────── exponential backoff
//	          └ choose ─── the types; by default those that end a task
//	              └ a webhook, or another publisher
//
// # The request
//
// A webhook gets a POST with a JSON object:
//
//	{"eventId":"1764000000000-0","type":"TaskCompleted","task":"a","v":1,
//	 "data":{…as in the log…},"at":"2025-11-24T16:00:00Z"}
//
// and the headers Tasklog-Event-Id, Tasklog-Event-Type, Tasklog-Task-Id, Idempotency-Key and, with a
// secret, Tasklog-Signature; see infra/webhook. The Idempotency-Key is the event id; in a log of more
// than one partition, where two events may share an id, "@" and the partition stand behind it.
//
// # Guarantees
//
// Every chosen event is delivered at least once, or stands in the poison stream, which keeps the newest
// 10 000. Within a partition events go out one at a time and in order, while one relay runs in the
// group; an event that went to the poison stream was overtaken. The log itself is only read.
//
// # Failure
//
// Redis away: the relay waits and goes on. This process killed: after a restart under the same
// consumer name it goes on at once with what was not acknowledged, and may deliver that again; under
// another name it gets those few entries when they have been idle for four times what one can take.
package relay
