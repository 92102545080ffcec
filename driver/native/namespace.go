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

// names remembers the wire's names, so that a send does not make one.
type names struct {
	namespace string // "": none

	read atomic.Pointer[map[string]string]
	mu   sync.Mutex // held while the map is replaced
}

// maxNames bounds what is remembered.
const maxNames = 1 << 14

func (n *names) init(namespace string) {
	n.namespace = namespace
	n.read.Store(&map[string]string{})
}

// wire is what a topic or group is called on the wire.
func (n *names) wire(name string) string {
	if n.namespace == "" {
		return name
	}
	if w, ok := (*n.read.Load())[name]; ok {
		return w
	}
	w := message.WithNamespace(n.namespace, name)
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
func (n *names) shown(name string) string { return message.WithoutNamespace(n.namespace, name) }

// wireAll is wire of each.
func (n *names) wireAll(all []string) []string {
	wires := make([]string, len(all))
	for i, name := range all {
		wires[i] = n.wire(name)
	}
	return wires
}

func (n *names) wireQueue(q message.Queue) message.Queue {
	q.Topic = n.wire(q.Topic)
	return q
}

func (n *names) wireQueues(qs []message.Queue) []message.Queue { return n.rename(qs, n.wire) }

func (n *names) shownQueues(qs []message.Queue) []message.Queue { return n.rename(qs, n.shown) }

func (n *names) rename(qs []message.Queue, name func(string) string) []message.Queue {
	if n.namespace == "" || len(qs) == 0 {
		return qs
	}
	renamed := make([]message.Queue, len(qs))
	for i, q := range qs {
		q.Topic = name(q.Topic)
		renamed[i] = q
	}
	return renamed
}
