package native

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/rocketkit/rocketkit/message"
)

// Inside the client topics and groups have the names of the wire. Where they come from
// the seam wire translates them, which leaves those alone that are translated already;
// where they go there shown does.

// namespace is that of a client. It remembers the wire's names, so that a send does not
// make one.
type namespace struct {
	name string // "": none

	read atomic.Pointer[map[string]string]
	mu   sync.Mutex // held while the map is replaced
}

// maxNames bounds what is remembered.
const maxNames = 1 << 14

func (n *namespace) init(name string) {
	n.name = name
	n.read.Store(&map[string]string{})
}

// wire is what a topic or group is called on the wire.
func (n *namespace) wire(name string) string {
	if n.name == "" {
		return name
	}
	if w, ok := (*n.read.Load())[name]; ok {
		return w
	}
	w := message.WithNamespace(n.name, name)
	n.mu.Lock()
	defer n.mu.Unlock()
	if old := *n.read.Load(); len(old) < maxNames {
		grown := make(map[string]string, len(old)+1)
		maps.Copy(grown, old)
		grown[name] = w
		n.read.Store(&grown)
	}
	return w
}

// shown is what it is called above the seam.
func (n *namespace) shown(name string) string { return message.WithoutNamespace(n.name, name) }

// wireAll is wire of each.
func (n *namespace) wireAll(all []string) []string {
	wires := make([]string, len(all))
	for i, name := range all {
		wires[i] = n.wire(name)
	}
	return wires
}

func (n *namespace) wireQueue(q message.Queue) message.Queue {
	q.Topic = n.wire(q.Topic)
	return q
}

func (n *namespace) wireQueues(qs []message.Queue) []message.Queue { return n.rename(qs, n.wire) }

func (n *namespace) shownQueues(qs []message.Queue) []message.Queue { return n.rename(qs, n.shown) }

func (n *namespace) rename(qs []message.Queue, name func(string) string) []message.Queue {
	if n.name == "" || len(qs) == 0 {
		return qs
	}
	renamed := make([]message.Queue, len(qs))
	for i, q := range qs {
		q.Topic = name(q.Topic)
		renamed[i] = q
	}
	return renamed
}
