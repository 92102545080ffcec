package metrics

import (
	"bytes"
	"io"
	"math"
	"strconv"
	"strings"
)

// ContentType is the format's media type.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Kind is the type of a family.
type Kind string

// The kinds.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Label is a label's name and value.
type Label struct{ Name, Value string }

// Writer gathers families. It belongs to one goroutine.
type Writer struct {
	buf    bytes.Buffer
	common []byte // the labels of all samples, as they are written
	name   string // of the family
	pairs  []byte // scratch
}

// NewWriter makes a writer whose samples all have the common labels.
func NewWriter(common ...Label) *Writer {
	return &Writer{common: appendLabels(nil, common)}
}

// Family begins a family; its samples follow. A family has one place.
func (w *Writer) Family(name string, kind Kind, help string) {
	w.name = name
	w.buf.WriteString("# HELP " + name + " ")
	w.buf.WriteString(strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(help))
	w.buf.WriteString("\n# TYPE " + name + " " + string(kind) + "\n")
}

// Sample writes one of the family's samples.
func (w *Writer) Sample(value float64, labels ...Label) { w.sample("", value, labels) }

// Buckets writes a histogram: counts[i] observations were at most bounds[i] and more
// than the bound before; the last of counts, which has no bound, were more than all.
func (w *Writer) Buckets(bounds []float64, counts []int64, sum float64, labels ...Label) {
	total := int64(0)
	with := append(labels[:len(labels):len(labels)], Label{Name: "le"})
	for i, n := range counts {
		total += n
		bound := math.Inf(1)
		if i < len(bounds) {
			bound = bounds[i]
		}
		with[len(labels)].Value = number(bound)
		w.sample("_bucket", float64(total), with)
	}
	w.sample("_sum", sum, labels)
	w.sample("_count", float64(total), labels)
}

func (w *Writer) sample(suffix string, value float64, labels []Label) {
	w.buf.WriteString(w.name + suffix)
	w.pairs = append(w.pairs[:0], w.common...)
	if w.pairs = appendLabels(w.pairs, labels); len(w.pairs) > 0 {
		w.buf.WriteByte('{')
		w.buf.Write(w.pairs)
		w.buf.WriteByte('}')
	}
	w.buf.WriteString(" " + number(value) + "\n")
}

// WriteTo writes what was gathered.
func (w *Writer) WriteTo(to io.Writer) (int64, error) { return w.buf.WriteTo(to) }

func appendLabels(dst []byte, labels []Label) []byte {
	for _, l := range labels {
		if len(dst) > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, l.Name...), '=', '"')
		for _, r := range l.Value { // what is not UTF-8 becomes U+FFFD
			switch r {
			case '\\', '"':
				dst = append(dst, '\\', byte(r))
			case '\n':
				dst = append(dst, '\\', 'n')
			default:
				dst = append(dst, string(r)...)
			}
		}
		dst = append(dst, '"')
	}
	return dst
}

func number(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "+Inf"
	case math.IsInf(v, -1):
		return "-Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
