package verdict

import (
	"bytes"
	"errors"
	"fmt"
	"runtime/debug"
)

// PanicError is a panic, or a runtime.Goexit, as an error.
type PanicError struct {
	Value any    // what was passed to panic
	Stack string // of the goroutine, from the panic on
}

// Error is the value, then the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("%v\n\n%s", e.Value, e.Stack) }

// Unwrap returns the value, when it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// NewPanic returns a recovered value as an error. It is called by the deferred function that recovered it.
func NewPanic(v any) *PanicError {
	stack := debug.Stack()
	for _, mark := range []string{"\npanic(", "\nruntime.Goexit("} { // what stands before is ours
		if i := bytes.LastIndex(stack, []byte(mark)); i >= 0 {
			stack = stack[i+1:]
			for range 2 { // the call and its file
				_, stack, _ = bytes.Cut(stack, []byte("\n"))
			}
		}
	}
	return &PanicError{Value: v, Stack: string(stack)}
}

// errGoexit stands for the error of a function that never returned.
var errGoexit = errors.New("the handler ended its goroutine: runtime.Goexit")

// Protect calls f and then, on the same goroutine and whatever f does, done with f's error. A panic
// and a runtime.Goexit become a *PanicError; after a Goexit the goroutine still ends.
func Protect(f func() error, done func(error)) {
	err := errGoexit
	defer func() {
		if v := recover(); v != nil {
			err = NewPanic(v)
		} else if err == errGoexit { //nolint:errorlint // this very value: nobody wraps it
			err = NewPanic(errGoexit)
		}
		done(err)
	}()
	err = f()
}

// Recover calls f and returns its panic as a *PanicError.
func Recover(f func() (any, error)) (result any, err error) {
	defer func() {
		if v := recover(); v != nil {
			result, err = nil, NewPanic(v)
		}
	}()
	return f()
}
