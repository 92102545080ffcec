package halfmsg

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/broker-lite/internal/clock"
	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/redeliver"
	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// world is a store with half messages on one disk, in a bubble.
type world struct {
	t     *testing.T
	store *store.Store
	meta  *meta.Meta
	half  *Service

	mu      sync.Mutex // guards the following
	onCheck func()
	asked   []protocol.CheckTransactionRequest
	body    map[int64]string // of what was asked about, by offset
}

func noTags(*protocol.Record) int64 { return 0 }

func open(t *testing.T, fs vfs.FS) *world {
	t.Helper()
	w := &world{t: t, body: map[int64]string{}}
	var err error
	if w.store, err = store.Open(t.Context(), store.Options{FS: fs, Dir: "store"}); err != nil {
		t.Fatal(err)
	}
	if w.meta, err = meta.Open(meta.Options{FS: fs, Dir: "store", ClusterName: "c", BrokerName: "b"}); err != nil {
		t.Fatal(err)
	}
	w.half, err = Open(Options{
		Store: w.store, Meta: w.meta, Clock: clock.System(), Timeout: 6 * time.Second, Interval: 30 * time.Second, MaxCheck: 15,
		TagsCode: noTags, Divert: func(*protocol.Record) (int64, error) { return 0, nil },
		Check: func(_ string, h *protocol.CheckTransactionRequest, record []byte) {
			var r protocol.Record
			if _, err := protocol.DecodeRecord(record, &r); err != nil {
				t.Error(err)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.onCheck != nil {
				w.onCheck()
				w.onCheck = nil
			}
			w.asked = append(w.asked, *h)
			w.body[h.TranStateTableOffset] = string(r.Body)
		},
		StoreHost: netip.MustParseAddrPort("10.0.0.1:10911"), BrokerName: "b",
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) close() {
	w.t.Helper()
	w.half.Close()
	if err := errors.Join(w.store.Close(), w.meta.Close()); err != nil {
		w.t.Error(err)
	}
}

// append stores a record, and enters it when it is a half message.
func (w *world) append(r *protocol.Record) store.AppendResult {
	w.t.Helper()
	g := redeliver.NewGroup(w.store)
	if err := g.Append(r, 0); err != nil {
		w.t.Fatal(err)
	}
	var result store.AppendResult
	if _, err := g.Wait(func(_ int, r store.AppendResult) { result = r }); err != nil {
		w.t.Fatal(err)
	}
	return result
}

// prepare sends a half message and returns the request that ends it.
func (w *world) prepare(body string, props ...string) *protocol.EndTransactionRequest {
	w.t.Helper()
	p := []byte("REAL_TOPIC\x01orders\x02REAL_QID\x010\x02PGROUP\x01g\x02")
	for i := 0; i+1 < len(props); i += 2 {
		p = protocol.AppendProperty(p, props[i], props[i+1])
	}
	r := w.append(&protocol.Record{Topic: meta.HalfTopic, Body: []byte(body), Properties: p})
	v, _ := protocol.Property(p, protocol.PropCheckImmunity)
	w.half.Prepared(r.QueueOffset, r.StoreTimestamp, w.half.Immunity([]byte(v)))
	return &protocol.EndTransactionRequest{ProducerGroup: "g", TranStateTableOffset: r.QueueOffset, CommitLogOffset: r.PhysicalOffset, CommitOrRollback: protocol.SysCommit}
}

func (w *world) end(h *protocol.EndTransactionRequest) error {
	done := make(chan error, 1)
	w.half.End(h, func(err error) { done <- err })
	return <-done
}

// answerAll commits whatever was asked about since: by the latest question about it,
// since each stores the half message anew.
func (w *world) answerAll() {
	synctest.Wait()
	w.mu.Lock()
	asked := w.asked
	w.asked = nil
	latest := map[string]int64{}
	for _, h := range asked {
		latest[w.body[h.TranStateTableOffset]] = h.TranStateTableOffset
	}
	asked = slices.DeleteFunc(asked, func(h protocol.CheckTransactionRequest) bool {
		return latest[w.body[h.TranStateTableOffset]] != h.TranStateTableOffset
	})
	w.mu.Unlock()
	for _, h := range asked {
		err := w.end(&protocol.EndTransactionRequest{ProducerGroup: "g", TranStateTableOffset: h.TranStateTableOffset, CommitLogOffset: h.CommitLogOffset,
			CommitOrRollback: protocol.SysCommit, FromTransactionCheck: true})
		if err != nil {
			w.t.Error(err)
		}
	}
}

func (w *world) bodies(topic string) []string {
	w.t.Helper()
	synctest.Wait()
	got := []string{}
	err := w.half.each(topic, 0, func(r *protocol.Record) { got = append(got, string(r.Body)) })
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

func TestEndsThatGatherShareARecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := open(t, vfs.NewMem())
		defer w.close()
		var requests []*protocol.EndTransactionRequest
		for i := range 100 {
			requests = append(requests, w.prepare(fmt.Sprint(i)))
		}
		var wg sync.WaitGroup
		for _, h := range requests {
			wg.Go(func() {
				if err := w.end(h); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := len(w.bodies("orders")); n != 100 || w.half.Count() != 0 {
			t.Errorf("%d messages, %d are open", n, w.half.Count())
		}
		if n := len(w.bodies(meta.OpHalfTopic)); n == 0 || n == 100 {
			t.Errorf("%d op records", n)
		}
	})
}

func TestAFullDiskLosesNoOutcome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var full atomic.Bool
		w := open(t, vfs.NewFaulty(vfs.NewMem(), vfs.Hooks{Before: func(c vfs.Call) vfs.Fault {
			if full.Load() && c.Op == vfs.OpWrite && vfs.MatchPath("commitlog/*", c.Path) {
				return vfs.Fault{Err: syscall.ENOSPC}
			}
			return vfs.Fault{}
		}}))
		defer w.close()
		commit, rollback, open := w.prepare("commit"), w.prepare("rollback"), w.prepare("open")
		_ = open
		rollback.CommitOrRollback = protocol.SysRollback
		full.Store(true)
		for _, h := range []*protocol.EndTransactionRequest{commit, rollback} {
			if err := w.end(h); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%v", err)
			}
		}
		time.Sleep(31 * time.Second) // a check that cannot be stored
		full.Store(false)
		if err := w.end(commit); err != nil {
			t.Error(err)
		}
		time.Sleep(30 * time.Second)
		w.answerAll()
		if diff := cmp.Diff([]string{"commit", "open"}, w.bodies("orders")); diff != "" {
			t.Error(diff)
		}
		if n := w.half.Count(); n != 0 {
			t.Errorf("%d are open", n)
		}
	})
}

func TestAStoreOfApachesIsTakenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.NewMem()
		w := open(t, disk)
		props := []byte("REAL_TOPIC\x01orders\x02REAL_QID\x010\x02PGROUP\x01g\x02TRANSACTION_CHECK_TIMES\x014\x02")
		for i := range 5 {
			w.append(&protocol.Record{Topic: meta.HalfTopic, Body: fmt.Append(nil, i), Properties: props})
		}
		w.append(&protocol.Record{Topic: meta.OpHalfTopic, Body: []byte("1,3,")})
		w.append(&protocol.Record{Topic: meta.OpHalfTopic, Body: []byte("4")})
		w.close()
		w = open(t, disk.Clone())
		defer w.close()
		if n := w.half.Count(); n != 2 {
			t.Errorf("%d are open", n)
		}
		time.Sleep(31 * time.Second)
		w.answerAll()
		if diff := cmp.Diff([]string{"0", "2"}, w.bodies("orders")); diff != "" {
			t.Error(diff)
		}
	})
}

func TestProgressIsNotedSoThatLittleIsReadAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := open(t, vfs.NewMem())
		defer w.close()
		for range 2500 {
			if err := w.end(w.prepare("x")); err != nil {
				t.Fatal(err)
			}
		}
		half, _ := w.meta.Offsets.Query(group, meta.HalfTopic, 0)
		op, _ := w.meta.Offsets.Query(group, meta.OpHalfTopic, 0)
		if half < 1900 || op < 1900 {
			t.Errorf("noted %d and %d of 2500", half, op)
		}
	})
}

// TestNoOutcomeIsLostInAPowerCut cuts the power at any moment: what was committed
// before a flush is delivered, what was rolled back is not, and what is open is
// asked about.
func TestNoOutcomeIsLostInAPowerCut(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				disk := vfs.NewMem()
				want, never := map[string]bool{}, map[string]bool{}
				for round := range 5 {
					w := open(t, disk)
					for i := range 30 {
						body := fmt.Sprint(round, " ", i)
						h := w.prepare(body)
						switch rnd.IntN(3) {
						case 0:
							want[body] = true
							if err := w.end(h); err != nil {
								t.Fatal(err)
							}
						case 1:
							never[body] = true
							h.CommitOrRollback = protocol.SysRollback
							if err := w.end(h); err != nil {
								t.Fatal(err)
							}
						default:
							want[body] = true // when it is asked about
						}
						time.Sleep(time.Duration(rnd.Int64N(int64(10 * time.Second))))
						if rnd.IntN(10) == 0 {
							w.answerAll()
						}
					}
					synctest.Wait()
					if err := w.store.Flush(context.Background()); err != nil {
						t.Fatal(err)
					}
					disk = disk.Crash(rnd.Uint64())
					w.close()
				}
				w := open(t, disk)
				defer w.close()
				time.Sleep(31 * time.Second)
				w.answerAll()
				got := map[string]int{}
				for _, body := range w.bodies("orders") {
					got[body]++
				}
				for body := range want {
					if got[body] == 0 {
						t.Errorf("%q was lost", body)
					}
				}
				for body := range never {
					if got[body] > 0 {
						t.Errorf("%q was delivered although it was rolled back", body)
					}
				}
				var twice []string
				for body, n := range got {
					if n > 1 {
						twice = append(twice, body)
					}
				}
				if slices.Sort(twice); len(twice) > 0 {
					t.Errorf("delivered twice: %q", twice)
				}
				if n := w.half.Count(); n != 0 {
					t.Errorf("%d are open", n)
				}
			})
		})
	}
}
