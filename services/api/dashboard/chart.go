package dashboard

import (
	"encoding/xml"
	"errors"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-analyze/charts"

	"github.com/tasklog/tasklog/services/api/wire"
)

// Chart is lines over time.
type Chart struct {
	ID, Title string
	Lines     []Line
	At        []time.Time // of each value: evenly spaced, oldest first
	Layout    string      // of the times at the axis, in which no two of At look the same
	Format    func(float64) string
}

// Line is one line of a chart.
type Line struct {
	Name   string
	Values []float64 // one for each of Chart.At; NoValue where there is none
}

// NoValue is a gap in a line.
var NoValue = charts.GetNullValue()

// Newest tells the newest value that there is, or nothing.
func (c Chart) Newest(l Line) string {
	for _, v := range slices.Backward(l.Values) {
		if v != NoValue {
			return c.Format(v)
		}
	}
	return "none"
}

// Size of a chart, in the units of its SVG.
const chartWidth, chartHeight, chartText = 460, 150, 11

// The library styles what it draws by colours, in attributes that our Content-Security-Policy forbids and
// that know no dark theme. So each kind of thing is drawn in a colour that only names it, and redraw makes
// a class of that.
var (
	inkGrid  = charts.Color{R: 2, A: 255}
	inkAxis  = charts.Color{R: 3, A: 255}
	inkLabel = charts.Color{R: 4, A: 255}
	inkRuler = charts.Color{R: 5, A: 255}
)

func inkLine(i int) charts.Color { return charts.Color{R: 1, B: uint8(i), A: 255} }

func style(c charts.Color) string { return fmt.Sprintf("rgb(%d,%d,%d)", c.R, c.G, c.B) }

// SVG draws the chart, with a tooltip for each of its times. Colours and fonts are those of the style sheet.
func (c Chart) SVG() (template.HTML, error) {
	if len(c.At) < 2 {
		return `<p class="empty">Nothing to draw yet.</p>`, nil
	}
	// The first line is a ruler: it has a value everywhere, and tells where on the chart each time lies.
	data, colours, highest := [][]float64{make([]float64, len(c.At))}, []charts.Color{inkRuler}, 0.0
	for i, l := range c.Lines {
		data, colours = append(data, l.Values), append(colours, inkLine(i))
		for _, v := range l.Values {
			if v != NoValue {
				highest = max(highest, v)
			}
		}
	}
	opt := charts.NewLineChartOptionWithData(data)
	opt.Theme = charts.MakeTheme(charts.ThemeOption{
		XAxisStrokeColor: inkAxis, YAxisStrokeColor: inkAxis, AxisSplitLineColor: inkGrid, TextColor: inkLabel, SeriesColors: colours,
	})
	opt.Padding = charts.NewBox(2, 8, 12, 2)
	opt.Legend.Show = new(false)
	opt.Symbol = charts.Symbol{Shape: charts.SymbolNone}
	opt.SeriesList[0].Symbol = charts.Symbol{Shape: charts.SymbolCircle, Size: 1}
	opt.XAxis.Labels = make([]string, len(c.At))
	for i, t := range c.At {
		opt.XAxis.Labels[i] = t.UTC().Format(c.Layout)
	}
	opt.XAxis.LabelCount = 5
	opt.XAxis.LabelFontStyle.FontSize = chartText
	opt.YAxis = []charts.YAxisOption{{
		Min: new(0.0), Max: new(ceiling(highest)), LabelCount: 3, LabelFontStyle: charts.FontStyle{FontSize: chartText}, ValueFormatter: c.Format,
	}}
	p := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: chartWidth, Height: chartHeight})
	if err := p.LineChart(opt); err != nil {
		return "", fmt.Errorf("draw %s: %w", c.Title, err)
	}
	drawn, err := p.Bytes()
	if err != nil {
		return "", fmt.Errorf("draw %s: %w", c.Title, err)
	}
	return c.redraw(string(drawn))
}

// ceiling returns the least 1, 2 or 5 times a power of ten that is not less than a value; 1 for 0.
func ceiling(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := math.Pow10(int(math.Floor(math.Log10(v))))
	for _, digit := range []float64{1, 2, 5} {
		if digit*power >= v {
			return digit * power
		}
	}
	return 10 * power
}

// redraw makes of the library's drawing one that the style sheet styles.
func (c Chart) redraw(drawn string) (template.HTML, error) {
	b := &strings.Builder{}
	fmt.Fprintf(b, `<svg class="chart" viewBox="0 0 %d %d" role="img" aria-labelledby="%s-title">`, chartWidth, chartHeight, c.ID)
	var places []float64 // of c.At on the x axis
	var floor float64    // of zero on the y axis
	for d := xml.NewDecoder(strings.NewReader(drawn)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("redraw %s: %w", c.Title, err)
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		get := func(name string) string {
			i := slices.IndexFunc(e.Attr, func(a xml.Attr) bool { return a.Name.Local == name })
			if i < 0 {
				return ""
			}
			return e.Attr[i].Value
		}
		ink := func(c charts.Color) bool { return strings.Contains(get("style"), style(c)) }
		line := -1
		for i := range c.Lines {
			if ink(inkLine(i)) {
				line = i
			}
		}
		switch {
		case e.Name.Local == "circle" && ink(inkRuler):
			x, _ := strconv.ParseFloat(get("cx"), 64) // the library wrote a number
			floor, _ = strconv.ParseFloat(get("cy"), 64)
			places = append(places, x)
		case e.Name.Local == "circle" && line >= 0: // a value with a gap on either side, which is no part of a line
			fmt.Fprintf(b, `<circle class="l%d" cx="%s" cy="%s" r="1.5"/>`, line, get("cx"), get("cy"))
		case e.Name.Local == "path" && line >= 0:
			fmt.Fprintf(b, `<path class="line l%d" d="%s"/>`, line, strings.ReplaceAll(get("d"), "\n", ""))
		case e.Name.Local == "path" && ink(inkGrid):
			fmt.Fprintf(b, `<path class="grid" d="%s"/>`, strings.ReplaceAll(get("d"), "\n", ""))
		case e.Name.Local == "path" && ink(inkAxis):
			fmt.Fprintf(b, `<path class="axis" d="%s"/>`, strings.ReplaceAll(get("d"), "\n", ""))
		case e.Name.Local == "text":
			var text string
			if err := d.DecodeElement(&text, &e); err != nil {
				return "", fmt.Errorf("redraw %s: %w", c.Title, err)
			}
			fmt.Fprintf(b, `<text x="%s" y="%s"%s>%s</text>`, get("x"), get("y"), c.told(text), template.HTMLEscapeString(text))
		}
	}
	if len(places) == len(c.At) {
		width := (places[len(places)-1] - places[0]) / float64(len(places)-1)
		for i, x := range places {
			fmt.Fprintf(b, `<rect x="%.1f" y="0" width="%.1f" height="%.0f">%s</rect>`, x-width/2, width, floor, c.tip(i))
		}
	}
	b.WriteString("</svg>")
	return template.HTML(b.String()), nil
}

// told marks the text of a time for the script, which tells it in the zone of who looks.
func (c Chart) told(text string) string {
	for _, t := range c.At {
		if t.UTC().Format(c.Layout) == text {
			return fmt.Sprintf(` data-at="%s" data-like="%s"`, wire.Stamp(t.UnixMilli()), text)
		}
	}
	return ""
}

// tip is the tooltip of a time.
func (c Chart) tip(i int) string {
	var values []string
	for _, l := range c.Lines {
		if v := l.Values[i]; v != NoValue {
			values = append(values, l.Name+" "+c.Format(v))
		}
	}
	text := template.HTMLEscapeString(strings.Join(values, ", "))
	return fmt.Sprintf(`<title data-at="%s" data-text="%s">%s UTC: %[2]s</title>`,
		wire.Stamp(c.At[i].UnixMilli()), text, c.At[i].UTC().Format("2006-01-02 15:04:05"))
}

// Spark is a small line without axes.
type Spark []int64

// Points are those of an SVG polyline in a box of 60 by 16.
func (s Spark) Points() string {
	highest := max(1, slices.Max(append(s, 0)))
	var b strings.Builder
	for i, v := range s {
		fmt.Fprintf(&b, "%.1f,%.1f ", 60*float64(i)/float64(max(1, len(s)-1)), 15-14*float64(v)/float64(highest))
	}
	return strings.TrimSpace(b.String())
}
