package events

// Quick is the reader of plain bodies, for tests that hold it against the other one.
var Quick = quick
