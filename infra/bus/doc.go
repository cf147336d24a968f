// Package bus joins the log to Watermill: entries of a Redis stream become messages, and messages
// become entries, in a form that Watermill's own Redis Pub/Sub (watermill-redisstream) reads and
// writes too.
//
// # The wire form
//
// An entry of the log has four fields. A message that a program publishes has up to six, the
// last two only where there is something to say:
//
//	type  task  v     the event's type, task id and schema version    metadata "type", "task", "v"
//	data              the body, a JSON object in an event             the payload
//	uuid              the message's UUID                              no entry of the log has it
//	meta              a JSON object of strings                        all other metadata
//
// A message that was an entry of the log has a UUID made of its stream and entry id: the same
// entry is always the same message, and no two entries share one.
//
// # The position
//
// The stock subscriber gives its unmarshaller the fields of an entry, but not the entry's id, which
// is an event's position and time. NamePositions puts both into the fields as they are read, by a
// hook of the Redis client; the stock subscriber needs a client of its own anyway, because it closes it.
// Without the hook everything works, but the metadata "tasklog_id" and "tasklog_stream" are missing,
// Decode returns an event at the zero ID, and two entries of the same content share a UUID.
//
// # Guarantees
//
// At least once: an entry is acknowledged after its message was, and not before. An entry that is
// no message stops nobody: the Unmarshaller marks it, the Subscriber skips it, counts it and says its id.
// Nothing here trims or deletes an entry, unless PublisherConfig.MaxLen says so.
//
// # Failure
//
// Redis away: the Subscriber waits and goes on; the Publisher returns an error that means unknown.
// The consumer group gone (FLUSHALL, a failover): the Subscriber makes it again, from the start of the
// stream, for what is still there was perhaps never handled. The stock subscriber ends instead, and
// Supervise starts another.
package bus
