// Package events says what can happen to a task, and in which order.
//
// The log holds events and nothing else; every other thing that Tasklog knows is computed from
// them. So this package is the vocabulary of the whole house: the event types with their JSON
// form and its versions, the entry id that is an event's position and time, and the state
// machine of a task.
//
// # Guarantees
//
// Everything here is a function of its arguments: no I/O, no clock, no dice, and no panic on
// data. What was written once can be read for ever: testdata/wire holds an entry of every type
// and version ever written.
//
// # Legal order
//
// Transitions is the one table of what may follow what. Task.Evolve enforces it when the log is
// read; the scripts of infra/eventlog enforce it when the log is written; a property test holds
// the two together.
package events
