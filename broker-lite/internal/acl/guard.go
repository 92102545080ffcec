package acl

import (
	"crypto/sha256"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// WatchInterval is how often [Guard.Ring] wants to look at the file: Apache's.
const WatchInterval = 500 * time.Millisecond

// Guard holds the rules that are in force. Its methods may be called from several
// goroutines; it starts none itself.
type Guard struct {
	fsys  vfs.FS
	name  string
	log   *slog.Logger
	rules atomic.Pointer[Rules] // never nil

	mu sync.Mutex // guards the following; no file is read while it is held
	// loaded is the sum of the content that rules come from, tried that of the last
	// content that was parsed, looked that of Ring's last look.
	loaded, tried, looked sum
	unread                string // the error of Ring's last look, "" if there was none
}

type sum = [sha256.Size]byte

// Open loads the file, and fails if it cannot be used.
func Open(fsys vfs.FS, name string, log *slog.Logger) (*Guard, error) {
	data, err := readFile(fsys, name)
	if err != nil {
		return nil, err
	}
	rules, err := Parse(name, data)
	if err != nil {
		return nil, err
	}
	at := sha256.Sum256(data)
	g := &Guard{fsys: fsys, name: name, log: log, loaded: at, tried: at, looked: at}
	g.rules.Store(rules)
	return g, nil
}

// Rules returns the rules in force.
func (g *Guard) Rules() *Rules { return g.rules.Load() }

// Check is [Rules.Check] of the rules in force.
func (g *Guard) Check(remote netip.Addr, cmd *protocol.Command) error {
	return g.rules.Load().Check(remote, cmd)
}

// use puts content in force. On an error the rules stay as they were.
func (g *Guard) use(data []byte, at sum) error {
	rules, err := Parse(g.name, data)
	g.mu.Lock()
	g.tried = at
	changed := err == nil && at != g.loaded
	if changed {
		g.loaded = at
		g.rules.Store(rules)
	}
	g.mu.Unlock()
	if changed {
		g.log.Info("ACL rules reloaded", "file", g.name, "rules", rules.String())
	}
	return err
}

// Ring is for an alarm: it looks at the file and says when to look again. New content is
// used when two looks in a row find it, so that a file that is being written is not
// taken for a short one. What cannot be used is logged, once for each content.
func (g *Guard) Ring(now time.Time) (next time.Time) {
	next = now.Add(WatchInterval)
	data, err := readFile(g.fsys, g.name)
	at := sha256.Sum256(data)
	if !g.look(at, err) {
		return next
	}
	if err == nil {
		err = g.use(data, at)
	}
	if err != nil {
		g.log.Error("ACL rules not reloaded, the old ones stay in force", "file", g.name, "err", err)
	}
	return next
}

// look notes what Ring found and reports whether there is something to do about it: a
// new error to log, or new content that stood still since the last look.
func (g *Guard) look(at sum, err error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		was := g.unread
		g.unread = err.Error()
		return g.unread != was
	}
	g.unread = ""
	steady := at == g.looked
	g.looked = at
	return steady && at != g.tried
}
