package verifier

import (
	"time"

	"github.com/tasklog/tasklog/projections/audit"
)

// Difference is something that Redis holds beside the log and that does not follow from it.
type Difference struct {
	Key  string `json:"key"`  // the key that is not as it should be
	Text string `json:"text"` // what is wrong, as a sentence
}

// Report is what Run found. Its JSON is what `tasklog verify --json` prints.
type Report struct {
	OK bool `json:"ok"` // no violation and no difference
	audit.Report
	// Differences are the first ones, and DifferenceCount is all of them.
	Differences     []Difference `json:"differences"`
	DifferenceCount int64        `json:"differenceCount"`

	// NoExample names what the log had no example of: of that an OK says nothing.
	NoExample []string `json:"noExample"`
	// Compared is how much was held against the log: rows, places in ledgers, fields of views, and
	// entries of their index.
	Compared Compared `json:"compared"`
	// Notes say what could not be looked at, and why.
	Notes []string `json:"notes"`

	Partitions int           `json:"partitions"`
	Took       time.Duration `json:"-"`
	TookMs     int64         `json:"tookMs"`
}

// Compared counts what was held against the log.
type Compared struct {
	Rows    int64 `json:"rows"`
	Ledgers int64 `json:"ledgers"`
	Views   int64 `json:"views"`
	Index   int64 `json:"index"`
}
