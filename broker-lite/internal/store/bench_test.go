package store

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// signal is a Completion that allocates nothing.
type signal struct{ c chan error }

func (s *signal) Appended(r AppendResult) { s.c <- r.Err }

func benchFS(b *testing.B, kind string) Options {
	if kind == "os" {
		return Options{FS: vfs.OS(), Dir: b.TempDir()}
	}
	return Options{FS: vfs.NewMem(), Dir: testDir}
}

// BenchmarkAppend is 64 producers who each wait for their answer.
func BenchmarkAppend(b *testing.B) {
	for _, fs := range []string{"os", "mem"} {
		for _, flush := range []string{"async", "sync"} {
			for _, queues := range []int{8, 1000} {
				b.Run(fmt.Sprintf("fs=%s/flush=%s/queues=%d", fs, flush, queues), func(b *testing.B) {
					o := benchFS(b, fs)
					o.SyncFlush = flush == "sync"
					o.SegmentSize = 1 << 30
					s := openStore(b, o)
					rec := record(b, "bench", 0, "tag", make([]byte, 128))
					b.SetBytes(int64(len(rec)))
					b.ReportAllocs()
					var left atomic.Int64
					left.Store(int64(b.N))
					var wg sync.WaitGroup
					b.ResetTimer()
					for p := range 64 {
						wg.Go(func() {
							q := int32(p)
							done := &signal{c: make(chan error, 1)}
							a := &Append{Topic: "bench", TagsCodes: []int64{1}, Done: done}
							a.Records = append(a.Records, rec...)
							for left.Add(-1) >= 0 {
								q = (q + 64) % int32(queues)
								a.QueueID = q
								a.Records[15], a.Records[14] = byte(q), byte(q>>8)
								s.Append(a)
								if err := <-done.c; err != nil {
									b.Error(err)
									return
								}
							}
						})
					}
					wg.Wait()
					b.StopTimer()
					b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
				})
			}
		}
	}
}

// fill appends n records to queues of topic bench.
func fill(tb testing.TB, s *Store, n, queues, bodySize int) {
	tb.Helper()
	const window = 1024
	done := &signal{c: make(chan error, window)}
	recs := make([][]byte, queues)
	for q := range recs {
		recs[q] = record(tb, "bench", int32(q), "tag", make([]byte, bodySize))
	}
	inFlight := 0
	for i := range n {
		if inFlight == window {
			if err := <-done.c; err != nil {
				tb.Fatal(err)
			}
			inFlight--
		}
		s.Append(&Append{Topic: "bench", QueueID: int32(i % queues), Records: recs[i%queues], TagsCodes: []int64{1}, Done: done})
		inFlight++
	}
	for range inFlight {
		if err := <-done.c; err != nil {
			tb.Fatal(err)
		}
	}
}

// BenchmarkRead reads queues from their beginning in batches of 32.
func BenchmarkRead(b *testing.B) {
	for _, fs := range []string{"os", "mem"} {
		for _, c := range []struct {
			name      string
			n, queues int
		}{{"hot/queues=1", 8000, 1}, {"hot/queues=8", 8000, 8}, {"cold/queues=1", 200_000, 1}, {"cold/queues=8", 200_000, 8}} {
			b.Run(fmt.Sprintf("fs=%s/%s", fs, c.name), func(b *testing.B) {
				o := benchFS(b, fs)
				s := openStore(b, o)
				fill(b, s, c.n, c.queues, 128)
				if err := s.Flush(context.Background()); err != nil {
					b.Fatal(err)
				}
				dst := make([]byte, 0, 64<<10)
				b.ReportAllocs()
				messages, at, q := 0, int64(0), int32(0)
				for b.Loop() {
					r, err := s.Read("bench", q, at, 32, math.MaxInt, nil, dst)
					if err != nil {
						b.Fatal(err)
					}
					messages += r.Count
					if at = r.NextOffset; at >= r.MaxOffset {
						at, q = 0, (q+1)%int32(c.queues)
					}
				}
				b.ReportMetric(float64(messages)/b.Elapsed().Seconds(), "messages/s")
			})
		}
	}
}

// BenchmarkOpen opens stores that were closed in order.
func BenchmarkOpen(b *testing.B) {
	for _, fs := range []string{"os", "mem"} {
		for _, n := range []int{0, 1_000_000} {
			b.Run(fmt.Sprintf("fs=%s/messages=%d", fs, n), func(b *testing.B) {
				o := benchFS(b, fs)
				o.SegmentSize = 64 << 20
				o.MaxPendingBytes = 1 << 30
				s := openStore(b, o)
				fill(b, s, n, 8, 128)
				mustClose(b, s)
				for b.Loop() {
					s, err := Open(context.Background(), o)
					if err != nil {
						b.Fatal(err)
					}
					b.StopTimer()
					mustClose(b, s)
					b.StartTimer()
				}
			})
		}
	}
}

// BenchmarkRecover opens a store whose derived files are gone.
func BenchmarkRecover(b *testing.B) {
	o := benchFS(b, "os")
	s := openStore(b, o)
	const n = 200_000
	fill(b, s, n, 8, 128)
	mustClose(b, s)
	for b.Loop() {
		b.StopTimer()
		removeDerived(b, o)
		b.StartTimer()
		s, err := Open(context.Background(), o)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		mustClose(b, s)
		b.StartTimer()
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "records/s")
}
