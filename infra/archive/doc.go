// Package archive keeps the log for ever: what is old enough goes from Redis to files in a folder or a
// bucket, is checked there, and can be read from there as it was.
//
// # Format
//
// An archive holds segments, by prefix and partition. A segment is three objects; <n> is its number from 1
// on in eight digits, <first> the id of its first entry, <h> the first 16 digits of the object's SHA-256:
//
//	<prefix>/p<partition>/<n>.json                        manifest: a segment exists when this does
//	<prefix>/p<partition>/<n>-<first>-<h>.ndjson.zst      the entries
//	<prefix>/p<partition>/<n>-<first>-<h>.parquet         the same for analysis: see Row
//
// In <prefix> a byte other than A-Z a-z 0-9 - _ is %XX. Other objects, named tmp-… or ….tmp, were not
// finished: the next writer removes them.
//
// The entries are one zstd frame of lines that end in "\n". A line is one JSON object without spaces:
//
//	{"id":"1764000000000-3","fields":["type","TaskDue","task","a","v","1","data","{…}"]}
//	{"id":"1764000000000-4","base64":["Zm9yZWlnbg==","/w=="]}
//
// The list holds the names and values of the stream's entry in their order, whatever they are, so that an
// entry that is no event is kept too. It is called base64, and each string is in base64 (RFC 4648, padded),
// when one of them is not UTF-8.
//
// The manifest is one JSON object and "\n", of the fields of Manifest in their order. Its field previous is
// the SHA-256 of the predecessor's manifest, sum that of itself with sum empty: so a change of any byte of
// any object shows, and one of a manifest shows twice.
//
// A segment ends with its Config.MaxEntries-th entry, with the entry that brings its lines to
// Config.MaxBytes, or before an entry of another day (UTC): so the same log makes the same files.
//
// # Guarantees
//
// A segment that exists was read back and found to be what the stream had. Nothing in it is changed or
// removed by this package. Two writers at once do their work twice and no harm: objects are named by what
// is in them, and of two manifests of a number one is written.
//
// A writer that was killed at any moment leaves an archive without damage, and the next one brings it to
// where an undisturbed one would have.
//
// A reader gets the entries as they were in the stream, or an error that names the segment. What is damaged
// stops only reads that need it.
//
// # Failure
//
// Redis may lose the newest entries when a replica takes over. So entries younger than Config.Lag stay out,
// and a writer that finds the stream without the archive's last entry stops with ErrDiverged.
package archive
