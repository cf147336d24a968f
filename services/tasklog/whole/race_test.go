//go:build race

package whole_test

// raced says that the race detector slows everything down, several times.
const raced = true
