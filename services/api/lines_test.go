package api_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/tasklog/tasklog/services/api"
)

const smallPayload = 100 // bytes

// told is what lines say, but for ids and clocks.
func told(lines []api.Line) (list []string) {
	for _, l := range lines {
		l.Request.RequestID = ""
		if l.Err != nil || !strings.Contains(string(l.Request.Payload), "id") {
			l.Request.Task = ""
		}
		list = append(list, fmt.Sprintf("%d %+v %v", l.N, l.Request, l.Err))
	}
	return list
}

// FuzzLines holds that lines are found wherever the parts of a body end, that each is read as it would be alone,
// and that none but blank ones are left out.
func FuzzLines(f *testing.F) {
	f.Add([]byte(`{"taskName":"t"}` + "\n\n \r\n" + `{"taskName":"u","customJobId":"id"}`))
	f.Add([]byte("1\n\xff\n" + `{"taskName":"t","payload":"` + strings.Repeat("x", smallPayload) + `"}` + "\r\n\u2028\n"))
	f.Add([]byte(strings.Repeat("x", 66<<10) + "\n" + `{"taskName":"t"}`))
	f.Add([]byte(strings.Repeat(" ", 66<<10)))
	f.Fuzz(func(t *testing.T, body []byte) {
		lines := slices.Collect(api.Lines(bytes.NewReader(body), smallPayload))
		if got := told(slices.Collect(api.Lines(iotest.OneByteReader(bytes.NewReader(body)), smallPayload))); !slices.Equal(got, told(lines)) {
			t.Errorf("byte by byte\n%s\nat once\n%s", got, told(lines))
		}
		var want []string
		for i, line := range bytes.Split(body, []byte("\n")) {
			alone := slices.Collect(api.Lines(bytes.NewReader(line), smallPayload))
			if len(alone) == 0 && len(bytes.Trim(line, " \t\r")) != 0 || len(alone) > 1 {
				t.Errorf("line %q is read as %v", line, alone)
			}
			for _, l := range alone {
				l.N = i + 1
				want = append(want, told([]api.Line{l})...)
			}
		}
		if !slices.Equal(told(lines), want) {
			t.Errorf("together\n%s\nalone\n%s", told(lines), want)
		}
	})
}

func TestALineThatAnErrorCutsOffAsksForNothing(t *testing.T) {
	broken := errors.New("broken")
	r := io.MultiReader(strings.NewReader(`{"taskName":"t"}`+"\n"+`{"taskName":"u"}`), iotest.ErrReader(broken))
	lines := slices.Collect(api.Lines(r, smallPayload))
	if len(lines) != 2 || lines[0].Err != nil || lines[0].Request.Name != "t" || !errors.Is(lines[1].Err, broken) || lines[1].N != 2 {
		t.Errorf("read %+v", lines)
	}
}

func TestALineAsLongAsMayBeIsReadAndALongerOneIsNot(t *testing.T) {
	const limit = smallPayload + 64<<10
	for length, ok := range map[int]bool{limit: true, limit + 1: false, limit + 100<<10: false} {
		for _, end := range []string{"", "\n"} {
			line := `{"taskName":"t"}`
			line += strings.Repeat(" ", length-len(line))
			lines := slices.Collect(api.Lines(strings.NewReader(line+end), smallPayload))
			if len(lines) != 1 || (lines[0].Err == nil) != ok {
				t.Errorf("%d bytes and %q: %+v", length, end, lines)
			}
		}
	}
}
