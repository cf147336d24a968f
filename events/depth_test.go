package events_test

import (
	"strings"
	"testing"

	"github.com/tasklog/tasklog/events"
)

func TestDepthCountsWhatIsNestedAndNotWhatIsSaid(t *testing.T) {
	for in, want := range map[string]int{
		`1`: 0, `"[[["`: 0, `"\"[["`: 0, `[]`: 1, `{"a":[{}]}`: 3, `[[],[[]]]`: 3,
		strings.Repeat("[", 600) + strings.Repeat("]", 600): 600,
	} {
		if got := events.Depth([]byte(in)); got != want {
			t.Errorf("Depth(%.20s) = %d, want %d", in, got, want)
		}
	}
}
