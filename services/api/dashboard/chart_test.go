package dashboard_test

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/services/api/dashboard"
)

func TestEveryValueIsDrawnWhereItIsAsADotWhenItHasNoNeighbour(t *testing.T) {
	for values, want := range map[string]string{
		"....":      "",
		"3...":      "dot 0=3",
		"...7":      "dot 3=7",
		".5.5":      "dot 1=5, dot 3=5",
		"2468":      "line 0=2 1=4 2=6 3=8",
		"12.9.":     "line 0=1 1=2, dot 3=9",
		"1.34.9":    "dot 0=1, line 2=3 3=4, dot 5=9",
		"12.9.8.76": "line 0=1 1=2, dot 3=9, dot 5=8, line 7=7 8=6",
		"12..34..5": "line 0=1 1=2, line 4=3 5=4, dot 8=5",
		"0.0":       "dot 0=0, dot 2=0",
	} {
		if got := drawn(t, values); got != want {
			t.Errorf("of %s is drawn %q, want %q", values, got, want)
		}
	}
}

// drawn tells what a chart draws of values from 0 to 9, in which a dot is a gap. The chart has two lines more,
// which are not told: the same values from the last to the first, and 10 everywhere, which is its height.
func drawn(t *testing.T, values string) string {
	t.Helper()
	c := dashboard.Chart{ID: "c", Layout: "15:04:05", Lines: make([]dashboard.Line, 3), Format: func(v float64) string { return fmt.Sprint(v) }}
	for i := range values {
		c.At = append(c.At, time.UnixMilli(int64(i)*10_000))
		for n, char := range []byte{values[i], values[len(values)-1-i], '0' + 10} {
			v := dashboard.NoValue
			if char != '.' {
				v = float64(char - '0')
			}
			c.Lines[n].Values = append(c.Lines[n].Values, v)
		}
	}
	svg, err := c.SVG()
	if err != nil {
		t.Fatal(err)
	}
	parts := regexp.MustCompile(`<circle class="l0" cx="(\d+)" cy="(\d+)"|<path class="line l0" d="([^"]+)"`).FindAllStringSubmatch(string(svg), -1)
	at := placesOf(t, string(svg), len(values))
	var list []string
	for _, p := range parts {
		if p[3] == "" {
			list = append(list, "dot "+at(p[1], p[2]))
			continue
		}
		line := "line"
		for _, point := range regexp.MustCompile(`(\d+) (\d+)`).FindAllStringSubmatch(p[3], -1) {
			line += " " + at(point[1], point[2])
		}
		list = append(list, line)
	}
	return strings.Join(list, ", ")
}

// placesOf returns what tells the slot and the value of a place: by the tooltips, which span the slots, and by
// the uppermost line of the grid, which is at 10.
func placesOf(t *testing.T, svg string, n int) func(x, y string) string {
	t.Helper()
	number := func(s string) float64 {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	slots := regexp.MustCompile(`<rect x="([\d.-]+)" y="0" width="([\d.]+)" height="(\d+)"`).FindAllStringSubmatch(svg, -1)
	grid := regexp.MustCompile(`class="grid" d="M \d+ (\d+)`).FindStringSubmatch(svg)
	if len(slots) != n || grid == nil {
		t.Fatalf("%d slots or no grid in %s", len(slots), svg)
	}
	return func(x, y string) string {
		for i, s := range slots {
			if from := number(s[1]); number(x) >= from && number(x) < from+number(s[2]) {
				floor := number(s[3])
				return fmt.Sprintf("%d=%.0f", i, math.Abs(math.Round(10*(floor-number(y))/(floor-number(grid[1])))))
			}
		}
		return "nowhere"
	}
}
