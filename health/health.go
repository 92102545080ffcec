package health

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/rocketkit/rocketkit"
)

// Checks are the answers to probes. Make them with New.
type Checks struct {
	clients []*rocketkit.Client
	ending  atomic.Bool
}

// New checks clients, with the producers and consumers that they have then.
func New(clients ...*rocketkit.Client) *Checks { return &Checks{clients: clients} }

// Start does nothing, and lets Checks be a rocketkit.Runner.
func (c *Checks) Start(context.Context) error { return nil }

// Drain makes Ready fail.
func (c *Checks) Drain(context.Context) error {
	c.ending.Store(true)
	return nil
}

// Report is how everything is.
type Report struct {
	Live       bool        `json:"live"`
	Ready      bool        `json:"ready"`
	Components []Component `json:"components"`
}

// Component is one server, producer, consumer of any kind or handler.
type Component struct {
	Name  string `json:"name"` // such as "consumer pay_group"
	Live  bool   `json:"live"`
	Ready bool   `json:"ready"`
	// Problem is what is wrong, also when it fails nothing.
	Problem string `json:"problem,omitempty"`
	// Detail is what else is known.
	Detail string `json:"detail,omitempty"`
}

// Report looks at everything now.
func (c *Checks) Report() Report {
	r := Report{Live: true, Ready: true}
	if c.ending.Load() {
		r.add(Component{Name: "program", Live: true, Problem: "it is ending"})
	}
	if len(c.clients) == 0 { // as for a nil one
		r.add(Component{Name: "client", Live: true, Problem: "there is none; give health.New the program's clients"})
	}
	for i, client := range c.clients {
		prefix := ""
		if len(c.clients) > 1 {
			prefix = fmt.Sprintf("client %d: ", i+1)
		}
		if client == nil { // a probe must not panic, and not say that all is well
			r.add(Component{Name: prefix + "client", Live: true, Problem: "it is nil; give the client to health.New"})
			continue
		}
		for _, part := range components(client.State()) {
			part.Name = prefix + part.Name
			r.add(part)
		}
	}
	return r
}

func (r *Report) add(c Component) {
	r.Live, r.Ready = r.Live && c.Live, r.Ready && c.Ready
	r.Components = append(r.Components, c)
}

// String is the report as text, a line for each component.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "live: %t\nready: %t\n", r.Live, r.Ready)
	for _, c := range r.Components {
		word := "ok"
		switch {
		case !c.Live:
			word = "stuck"
		case !c.Ready:
			word = "not ready"
		case c.Problem != "":
			word = "degraded"
		}
		fmt.Fprintf(&b, "%s: %s", c.Name, word)
		for _, text := range []string{c.Problem, c.Detail} {
			if text != "" {
				b.WriteString("; ")
				b.WriteString(strings.ReplaceAll(text, "\n", " "))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Live answers 200 or, when only a new start of the process helps, 503. The body is the
// Report, as JSON or, with ?format=text or where Accept asks for text/plain, as text.
func (c *Checks) Live() http.Handler {
	return c.handler(func(r Report) bool { return r.Live })
}

// Ready answers 200 or, when the program cannot do its work now, 503, with the same body.
func (c *Checks) Ready() http.Handler {
	return c.handler(func(r Report) bool { return r.Ready })
}

func (c *Checks) handler(ok func(Report) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r := c.Report()
		status, kind, body := http.StatusOK, "text/plain; charset=utf-8", []byte(r.String())
		if !ok(r) {
			status = http.StatusServiceUnavailable
		}
		if req.URL.Query().Get("format") != "text" && !strings.HasPrefix(req.Header.Get("Accept"), "text/plain") {
			text, err := json.Marshal(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			kind, body = "application/json", append(text, '\n')
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_, _ = w.Write(body) // who asked is gone
	})
}
