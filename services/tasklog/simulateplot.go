package main

import (
	"fmt"
	"image/color"
	"os"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/tasklog/tasklog/projections/whatif"
)

// plotSlices is how many slices of the time the plot of the backlog shows.
const plotSlices = 400

// The colours of both runs: told apart also by those who do not see red and green.
var (
	realColour      = color.RGBA{R: 0x60, G: 0x60, B: 0x60, A: 0xff}
	simulatedColour = color.RGBA{R: 0x00, G: 0x72, B: 0xb2, A: 0xff}
)

// plot draws the backlog over time and, below, the share of attempts that waited no longer than so long.
func (c *comparison) plot(path string) error {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	over, waits := plot.New(), plot.New()

	whole := c.end - c.begin
	unit, name := unitOf(whole)
	over.Title.Text = "Backlog"
	over.X.Label.Text = fmt.Sprintf("%s since %s", name, c.stamp(c.begin))
	over.Y.Label.Text = "attempts that could run and did not"
	was, is := c.backlogs(plotSlices)
	line := func(list []float64) plotter.XYs {
		xys := make(plotter.XYs, 0, len(list))
		for i, n := range list {
			xys = append(xys, plotter.XY{X: (float64(i) + 0.5) / plotSlices * float64(whole) / float64(unit), Y: n})
		}
		return xys
	}
	if err := both(over, line(was), line(is)); err != nil {
		return err
	}
	over.Legend.Top = true
	over.X.Min, over.Y.Min, over.Y.Max = 0, 0, 1.15*over.Y.Max // the legend stands above it all

	longest := max(c.was.figures.Wait(1), c.is.figures.Wait(1))
	unit, name = unitOf(longest)
	waits.Title.Text = "Waits"
	waits.X.Label.Text = "wait, " + name
	waits.Y.Label.Text = "% of attempts that waited no longer"
	share := func(f whatif.Figures) plotter.XYs {
		xys := plotter.XYs{{X: 0, Y: 0}}
		step := max(1, len(f.Waits)/plotSlices)
		for i := 0; i < len(f.Waits); i += step {
			xys = append(xys, plotter.XY{X: float64(f.Waits[i]) / float64(unit), Y: 100 * float64(i+1) / float64(len(f.Waits))})
		}
		return append(xys, plotter.XY{X: float64(longest) / float64(unit), Y: 100})
	}
	if err := both(waits, share(c.was.figures), share(c.is.figures)); err != nil {
		return err
	}
	waits.X.Min, waits.Y.Min, waits.Y.Max = 0, 0, 100

	canvas := vgsvg.New(24*vg.Centimeter, 20*vg.Centimeter)
	plots := [][]*plot.Plot{{over}, {waits}}
	tiles := draw.Tiles{Rows: 2, Cols: 1, PadY: vg.Centimeter, PadTop: vg.Millimeter, PadRight: 5 * vg.Millimeter, PadBottom: vg.Millimeter}
	for i, row := range plot.Align(plots, tiles, draw.New(canvas)) {
		plots[i][0].Draw(row[0])
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := canvas.WriteTo(file); err != nil {
		_ = file.Close() // what went wrong before says more
		return err
	}
	return file.Close()
}

// both draws the lines of both runs.
func both(p *plot.Plot, was, is plotter.XYs) error {
	p.Add(plotter.NewGrid())
	for _, l := range []struct {
		name   string
		xys    plotter.XYs
		colour color.Color
		dashes []vg.Length
	}{
		{"real", was, realColour, []vg.Length{vg.Points(4), vg.Points(2)}},
		{"simulated", is, simulatedColour, nil},
	} {
		line, err := plotter.NewLine(l.xys)
		if err != nil {
			return err
		}
		line.Color, line.Dashes, line.Width = l.colour, l.dashes, vg.Points(1.5)
		p.Add(line)
		p.Legend.Add(l.name, line)
	}
	return nil
}

// unitOf returns the unit in which a duration is a number that reads well.
func unitOf(d time.Duration) (unit time.Duration, name string) {
	switch {
	case d < 2*time.Second:
		return time.Millisecond, "ms"
	case d < 5*time.Minute:
		return time.Second, "seconds"
	case d < 5*time.Hour:
		return time.Minute, "minutes"
	case d < 96*time.Hour:
		return time.Hour, "hours"
	}
	return 24 * time.Hour, "days"
}
