package brokerlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

const (
	fuzzTimeEnv   = "ROCKETKIT_SOCKFUZZ"        // how long, 30s say
	fuzzSeedEnv   = "ROCKETKIT_SOCKFUZZ_SEED"   // of an earlier run
	fuzzReplayEnv = "ROCKETKIT_SOCKFUZZ_REPLAY" // a file that a failure has left

	// fuzzHeap is what may live after an attack: topics, groups and offsets that
	// the frames have made, which the names in them bound.
	fuzzHeap = 128 << 20
	// fuzzPeak is what the process may hold while it is attacked, this test's own
	// frames and everything the servers answer included.
	fuzzPeak = 256 << 20
	// fuzzKept is how many bytes of a sender's last frames are kept.
	fuzzKept = 4 << 20
	// fuzzPatience is how long a server that was attacked may take for anything.
	fuzzPatience = 20 * time.Second
)

// attack is the state of TestHostilePeersDoNoHarm.
type attack struct {
	t    *testing.T
	b    *Broker
	sent atomic.Int64
	peak uint64 // bytes held; watch's until it has ended

	mu     sync.Mutex           // guards the following
	recent map[string]*[][]byte // the last frames by the sender's address
	ended  []string             // senders that are gone, of whom a failure may still be logged
	kept   int                  // files of frames
}

// Handle is a slog.Handler's: a panic that the server has caught fails the test.
func (a *attack) Handle(_ context.Context, r slog.Record) error {
	if !strings.HasPrefix(r.Message, "panic") {
		return nil
	}
	peer, text := "", r.Message
	r.Attrs(func(at slog.Attr) bool {
		if at.Key == "peer" {
			peer = at.Value.String()
		}
		text += fmt.Sprintf("\n%s: %v", at.Key, at.Value)
		return true
	})
	a.failed(peer, text)
	return nil
}

func (a *attack) Enabled(context.Context, slog.Level) bool { return true }
func (a *attack) WithAttrs([]slog.Attr) slog.Handler       { return a }
func (a *attack) WithGroup(string) slog.Handler            { return a }

// failed fails the test and leaves the peer's last frames in a file.
func (a *attack) failed(peer, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kept++
	if a.kept > 10 {
		return // enough to mend
	}
	where := "frames of " + peer + " are not known"
	if frames := a.recent[peer]; frames != nil {
		dir, err := os.MkdirTemp("", "sockfuzz-")
		name := filepath.Join(dir, "frames.bin")
		if err == nil {
			var all []byte
			for _, f := range *frames {
				all = append(all, f...)
			}
			err = os.WriteFile(name, all, 0o600)
		}
		where = fmt.Sprintf("%s=%s sends the last frames again (%v)", fuzzReplayEnv, name, err)
	}
	a.t.Errorf("%s\n%s", text, where)
}

// strike sends frames on one connection after the other until ctx ends.
func (a *attack) strike(ctx context.Context, addr string, h *hostileFrames) {
	for ctx.Err() == nil {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			a.t.Errorf("dial %s: %v", addr, err)
			return
		}
		a.connection(ctx, nc, h)
	}
}

func (a *attack) connection(ctx context.Context, nc net.Conn, h *hostileFrames) {
	me := nc.LocalAddr().String()
	var frames [][]byte
	size := 0 // of frames, in bytes
	a.mu.Lock()
	a.recent[me] = &frames
	a.mu.Unlock()
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(io.Discard, nc) }) // until nc is closed
	defer a.gone(me)
	defer reading.Wait()
	defer nc.Close()
	for range 1 + h.IntN(400) {
		if ctx.Err() != nil {
			return
		}
		f := h.next()
		a.mu.Lock()
		frames, size = append(frames, f), size+len(f)
		for len(frames) > 100 || size > fuzzKept && len(frames) > 1 {
			size -= len(frames[0])
			frames = frames[1:]
		}
		a.mu.Unlock()
		_ = nc.SetWriteDeadline(time.Now().Add(fuzzPatience)) // a closed connection: Write tells
		if h.IntN(200) == 0 {
			f = f[:h.IntN(len(f))]
			_, _ = nc.Write(f) // a part, and the end
			return
		}
		if _, err := nc.Write(f); errors.Is(err, os.ErrDeadlineExceeded) {
			a.failed(me, fmt.Sprintf("the server at %v reads nothing for %v", nc.RemoteAddr(), fuzzPatience))
			return
		} else if err != nil {
			return // closed for what it has sent
		}
		a.sent.Add(1)
	}
}

// gone forgets a sender's frames a few connections later.
func (a *attack) gone(peer string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended = append(a.ended, peer); len(a.ended) > 16 {
		delete(a.recent, a.ended[0])
		a.ended = a.ended[1:]
	}
}

// honest sends and pulls until ctx ends, and wants all of it to work.
func (a *attack) honest(ctx context.Context) (rounds int) {
	c, names := dial(a.t, a.b), dialAddr(a.t, a.b, a.b.NameServer())
	offset := int64(0)
	for ; ctx.Err() == nil; rounds++ {
		body := fmt.Sprint("calm ", rounds)
		patience, cancel := context.WithTimeout(context.Background(), fuzzPatience)
		sent, err := c.try(patience, protocol.SendMessageV2, sending("calm"), []byte(body))
		if err == nil && sent.Code != protocol.Success {
			err = fmt.Errorf("%s %s", protocol.ResponseName(sent.Code), sent.Remark)
		}
		pull := pulling("calm", offset, "*")
		pull.ConsumerGroup = "calm-group"
		var got pulled
		for err == nil && len(got.records) == 0 { // it is dispatched a moment later
			var resp *protocol.Command
			if resp, err = c.try(patience, protocol.PullMessage, pull, nil); err == nil {
				got = c.pulled(resp)
			}
		}
		if err == nil {
			_, err = names.try(patience, protocol.GetClusterInfo, nil, nil)
		}
		cancel()
		if err != nil {
			a.t.Errorf("round %d of an honest client: %v", rounds, err)
			return rounds
		}
		if len(got.records) != 1 || string(got.records[0].Body) != body {
			a.t.Errorf("round %d of an honest client: sent %q, got %q", rounds, body, bodies(got.records))
			return rounds
		}
		offset = got.NextBeginOffset
	}
	return rounds
}

// TestHostilePeersDoNoHarm attacks both servers over sockets: no panic, no leak,
// and an honest client is served all the time. It is not parallel, since it
// counts goroutines and memory.
func TestHostilePeersDoNoHarm(t *testing.T) {
	length, seed := fuzzSettings(t)
	t.Logf("for %v; %s=%d", length, fuzzSeedEnv, seed)
	a := &attack{t: t, recent: map[string]*[][]byte{}}
	a.b = start(t, Dir(t.TempDir()), WithLogger(slog.New(a)))
	dial(t, a.b).createTopic("calm", 1)
	runtime.GC()
	routines := runtime.NumGoroutine()

	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	frames := goldenBytes(t, "frame-*.bin", "header-*.bin")
	frames = append(frames, honestFrames(t)...)
	samples := goldenBytes(t, "body-*", "batch-*.bin", "record*.bin")
	var wg sync.WaitGroup
	replay := os.Getenv(fuzzReplayEnv)
	for i, addr := range []string{a.b.Addr(), a.b.Addr(), a.b.Addr(), a.b.NameServer()} {
		h := &hostileFrames{rand.New(rand.NewPCG(seed, uint64(i))), frames, samples}
		wg.Go(func() {
			if replay == "" {
				a.strike(ctx, addr, h)
			} else {
				a.again(addr, replay)
			}
		})
	}
	wg.Go(func() { a.watch(ctx, cancel) })
	rounds := a.honest(ctx)
	wg.Wait()
	if rounds == 0 {
		t.Error("the honest client was not served once")
	}
	a.calm(routines)
	t.Logf("%d hostile frames, %d rounds of an honest client, %d MiB live, at most %d MiB held", a.sent.Load(), rounds, living()>>20, a.peak>>20)
}

// watch ends the attack when the process holds more than it may: the heap's profile
// and every peer's last frames tell why.
func (a *attack) watch(ctx context.Context, end context.CancelFunc) {
	held := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		metrics.Read(held)
		n := held[0].Value.Uint64() - held[1].Value.Uint64()
		if a.peak = max(a.peak, n); n < fuzzPeak {
			continue
		}
		end()
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		name := filepath.Join(os.TempDir(), fmt.Sprintf("sockfuzz-heap-%d.pprof", os.Getpid()))
		f, err := os.Create(name)
		if err == nil {
			err = errors.Join(pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
		}
		a.mu.Lock()
		peers := slices.Collect(maps.Keys(a.recent))
		a.mu.Unlock()
		for _, peer := range peers {
			a.failed(peer, fmt.Sprintf("%d MiB are held under attack, at most %d may be; %s has the profile (%v)", n>>20, fuzzPeak>>20, name, err))
		}
		a.t.Logf("goroutines:\n%s", stacks)
		return
	}
}

// calm waits for a server that is as it was before.
func (a *attack) calm(routines int) {
	const spare = 20 // the honest client's, and timers
	until := time.Now().Add(3 * fuzzPatience)
	for runtime.NumGoroutine() > routines+spare && time.Now().Before(until) {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > routines+spare {
		stacks := make([]byte, 1<<20)
		a.t.Errorf("%d goroutines, %d before:\n%s", n, routines, stacks[:runtime.Stack(stacks, true)])
	}
	a.mu.Lock()
	clear(a.recent)
	a.mu.Unlock()
	if n := living(); n > fuzzHeap {
		a.t.Errorf("%d bytes live after the attack, want at most %d", n, fuzzHeap)
	}
	if got := dial(a.t, a.b).messages("calm", 0); len(got) == 0 {
		a.t.Error("the messages are gone")
	}
}

// again sends the frames that a failure has left, to a server that has topics and
// members by honest ones.
func (a *attack) again(addr, name string) {
	all, err := os.ReadFile(name)
	if err != nil {
		a.t.Error(err)
		return
	}
	all = append(slices.Concat(honestFrames(a.t)...), all...)
	for len(all) > 0 {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			a.t.Error(err)
			return
		}
		// One frame for each connection: one that ends it does not hide the others.
		size, err := protocol.FrameSize(all)
		if err != nil || size == 0 || size > len(all) {
			size = len(all)
		}
		_, _ = nc.Write(all[:size]) // refused: the next
		_ = nc.(*net.TCPConn).CloseWrite()
		_ = nc.SetReadDeadline(time.Now().Add(time.Second))
		_, _ = io.Copy(io.Discard, nc)
		_ = nc.Close()
		all = all[size:]
	}
}

func fuzzSettings(t *testing.T) (length time.Duration, seed uint64) {
	t.Helper()
	length, seed = 5*time.Second, uint64(time.Now().UnixNano())
	var err error
	if v := os.Getenv(fuzzTimeEnv); v != "" {
		if length, err = time.ParseDuration(v); err != nil || length <= 0 {
			t.Fatalf("%s=%s: want a duration, 30s say", fuzzTimeEnv, v)
		}
	}
	if v := os.Getenv(fuzzSeedEnv); v != "" {
		if seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatalf("%s=%s: want a number", fuzzSeedEnv, v)
		}
	}
	return length, seed
}
