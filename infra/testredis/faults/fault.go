package faults

import (
	"fmt"
	"strings"
)

// Kind is what becomes of a command.
type Kind int

// The kinds of faults.
const (
	None        Kind = iota
	DropRequest      // Redis does not get it, and the connection is cut
	DropReply        // Redis does it, and the connection is cut instead of passing on the reply
	CutRequest       // Redis gets its first At bytes, and then both connections are cut
	CutReply         // Redis does it, and the connection is cut after At bytes of the reply
	Answer           // Redis does not get it, and the answer is an error
)

// Always is for how many commands a fault is that does not end.
const Always = -1

// A Fault is what befalls commands. Its zero value befalls nothing.
type Fault struct {
	Kind  Kind
	At    int    // bytes, of CutRequest and CutReply; all of them where there are fewer
	Error string // of Answer, without the leading minus
	Times int    // how many commands it befalls: 0 means 1
	// Only tells which commands it befalls. Nil means calls of scripts.
	Only func(Command) bool
}

// String names a fault in the output of tests.
func (f Fault) String() string {
	times := "once"
	switch {
	case f.Times == Always:
		times = "always"
	case f.Times > 1:
		times = fmt.Sprint(f.Times, " times")
	}
	switch f.Kind {
	case DropRequest:
		return "drop the request " + times
	case DropReply:
		return "drop the reply " + times
	case CutRequest:
		return fmt.Sprintf("cut the request at byte %d %s", f.At, times)
	case CutReply:
		return fmt.Sprintf("cut the reply at byte %d %s", f.At, times)
	case Answer:
		code, _, _ := strings.Cut(f.Error, " ")
		return "answer -" + code + " " + times
	case None:
	}
	return "no fault"
}

// Errors are what Redis answers when it cannot do a command now: full, unable to save, a replica,
// without the script, in a script that does not end, and not ready yet.
var Errors = []string{
	"OOM command not allowed when used memory > 'maxmemory'.",
	"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. " +
		"Commands that may modify the data set are disabled.",
	"READONLY You can't write against a read only replica.",
	"NOSCRIPT No matching script. Please use EVAL.",
	"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
	"LOADING Redis is loading the dataset in memory",
}

// Every returns each fault that a script call can meet, for so many calls. NOSCRIPT befalls only the
// calls by digest, for no Redis answers it to a source.
func Every(times int) []Fault {
	all := []Fault{
		{Kind: DropRequest, Times: times},
		{Kind: DropReply, Times: times},
		{Kind: CutRequest, At: 40, Times: times},
		{Kind: CutReply, At: 1, Times: times},
	}
	for _, e := range Errors {
		f := Fault{Kind: Answer, Error: e, Times: times}
		if strings.HasPrefix(e, "NOSCRIPT") {
			f.Only = func(c Command) bool { return c.Is("evalsha") }
		}
		all = append(all, f)
	}
	return all
}
