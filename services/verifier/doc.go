// Package verifier proves a log, or finds what is wrong: it reads every event, judges them (see
// projections/audit), and holds against them what Redis keeps beside the log.
//
// # On a live system
//
// The services may run meanwhile. The log is read up to the entry that is its newest at the beginning;
// what lies beside it has moved on by then. So whatever looks different is read again, row and ledgers
// at one moment, after the log was followed to that moment; it counts only when it is different every
// time, over some seconds.
//
// # Memory
//
// Of a task that is under way some 500 bytes are kept, of one that is over some 100: see
// projections/audit. Rows, ledgers and the index of the views are read page by page.
package verifier
