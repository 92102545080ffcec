package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"
)

// What -accumulate holds a server to that has many messages in one queue.
const (
	mostResident  = 200 << 20       // bytes, while it is filled and drained
	leastRate     = 0.8             // of that of the empty server
	longestStart  = time.Second     // after a clean stop
	longestRepair = 5 * time.Second // after kill -9
)

// The rates of the full server and of an empty one are compared by turns: what else
// the machine and its disk do then meets both.
const (
	rateRounds = 10
	rateChunk  = 100_000 // messages a round
)

const topicPile = "bench_pile"

// pile is a standalone broker-lite whose one queue is filled and drained.
type pile struct {
	out     io.Writer
	binary  string
	dir     string
	process *liteProcess
	most    atomic.Int64 // resident bytes seen
}

// startPile starts a server in a directory and makes the topic there.
func startPile(ctx context.Context, binary, dir string, out io.Writer) (*pile, error) {
	p := &pile{out: out, binary: binary, dir: dir}
	var err error
	if p.process, err = startLite(ctx, binary, dir); err != nil {
		return nil, err
	}
	if err := createTopic(ctx, p.process.nameServer, p.process.broker, topicPile, 1); err != nil {
		return nil, errors.Join(err, p.process.stop())
	}
	return p, nil
}

// accumulate fills one queue with n messages, drains it, compares the rates with those
// of an empty server, and starts the server anew after a stop and after a kill. The
// error says which limits are broken.
func accumulate(ctx context.Context, n int64, body int, out io.Writer) (err error) {
	if n < 2*rateRounds*rateChunk {
		return fmt.Errorf("-accumulate %d: want %d at least", n, 2*rateRounds*rateChunk)
	}
	if !hasProc {
		return errors.New("-accumulate needs Linux's /proc")
	}
	dir, err := os.MkdirTemp("", "rocketkit-pile-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary, err := buildServer(ctx, dir)
	if err != nil {
		return err
	}
	full, err := startPile(ctx, binary, filepath.Join(dir, "full"), out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, full.process.stop()) }()
	fmt.Fprintf(out, "%s, %d MiB of memory; store in %s, ASYNC_FLUSH, one queue, bodies of %d bytes\n", machine(), memoryMiB(), dir, body)
	filled, rates, err := full.run(ctx, n, body)
	if err != nil {
		return err
	}
	clean, killed, err := full.restarts(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "resident: %d MiB while filled, %d MiB in all\nsends: %v\npulls: %v\nstart: %v after a stop, %v after kill -9\n",
		filled>>20, full.most.Load()>>20, rates.sends, rates.pulls, clean.Round(time.Millisecond), killed.Round(time.Millisecond))
	var errs []error
	limit := func(kept bool, what string) {
		if !kept {
			errs = append(errs, errors.New(what))
		}
	}
	limit(full.most.Load() < mostResident, "more than 200 MiB are resident")
	limit(rates.sends.ratio() >= leastRate, "sends to the full server are more than 20 % slower")
	limit(rates.pulls.ratio() >= leastRate, "pulls from the full server are more than 20 % slower")
	limit(clean < longestStart, "the start after a stop takes more than 1 s")
	limit(killed < longestRepair, "the start after kill -9 takes more than 5 s")
	return errors.Join(errs...)
}

// run fills the server, compares it with an empty one, and drains it.
func (p *pile) run(ctx context.Context, n int64, body int) (filled int64, r rates, err error) {
	watching, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.watch(watching)
	}()
	defer func() { stop(); <-ended }()
	if err := p.fill(ctx, n-rateRounds*rateChunk, body); err != nil {
		return 0, r, err
	}
	empty, err := startPile(ctx, p.binary, p.dir+"-not", io.Discard)
	if err != nil {
		return 0, r, err
	}
	defer func() { err = errors.Join(err, empty.process.stop()) }()
	if r, err = p.compare(ctx, empty, n, body); err != nil {
		return 0, r, err
	}
	filled = p.most.Load()
	return filled, r, p.drain(ctx, 0, n)
}

// rates are what the full server and an empty one do a second.
type rates struct{ sends, pulls pair }

// pair is a rate of both in each round.
type pair struct{ empty, full []float64 }

func (r pair) ratio() float64 { return spreadOf(r.full).Median / spreadOf(r.empty).Median }

func (r pair) String() string {
	return fmt.Sprintf("%s/s on an empty server, %s/s on the full one: %.2f of it (medians and ranges of %d rounds by turns)",
		spreadOf(r.empty).text(0), spreadOf(r.full).text(0), r.ratio(), len(r.full))
}

// compare sends to the full server and to the empty one by turns, and pulls what was
// sent to the empty one and as much from places all over the full one's queue.
func (p *pile) compare(ctx context.Context, empty *pile, n int64, body int) (rates, error) {
	var r rates
	for range rateRounds {
		err := r.sends.round(rateChunk,
			func() error { return empty.fill(ctx, rateChunk, body) },
			func() error { return p.fill(ctx, rateChunk, body) })
		if err != nil {
			return r, err
		}
	}
	for i := range int64(rateRounds) {
		at := i * (n - rateChunk) / (rateRounds - 1)
		err := r.pulls.round(rateChunk,
			func() error { return empty.drain(ctx, i*rateChunk, (i+1)*rateChunk) },
			func() error { return p.drain(ctx, at, at+rateChunk) })
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

// round runs both with n messages, in every other round the full server first.
func (r *pair) round(n int64, empty, full func() error) error {
	fullFirst := len(r.full)%2 == 1
	for _, isFull := range [...]bool{fullFirst, !fullFirst} {
		run, rates := empty, &r.empty
		if isFull {
			run, rates = full, &r.full
		}
		began := time.Now()
		if err := run(); err != nil {
			return err
		}
		*rates = append(*rates, float64(n)/time.Since(began).Seconds())
	}
	return nil
}

// watch samples the server's memory.
func (p *pile) watch(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if n, err := residentBytes(p.process.pid()); err == nil {
				p.most.Store(max(p.most.Load(), n))
			}
		}
	}
}

// accumulatePart is after how many messages a line is printed.
const accumulatePart = 1_000_000

// fill sends so many messages.
func (p *pile) fill(ctx context.Context, n int64, body int) error {
	began := time.Now()
	for sent := int64(0); sent < n; {
		part := min(accumulatePart, n-sent)
		if err := fillTopic(ctx, p.process.nameServer, topicPile, body, part); err != nil {
			return err
		}
		sent += part
		if part == accumulatePart {
			p.line("sent", sent, n, began)
		}
	}
	return nil
}

func (p *pile) line(what string, done, all int64, began time.Time) {
	passed := time.Since(began)
	left := time.Duration(float64(passed) / float64(done) * float64(all-done))
	fmt.Fprintf(p.out, "%s %d of %d, %.0f/s, at most %d MiB resident, %v left\n", what, done, all, float64(done)/passed.Seconds(), p.most.Load()>>20, left.Round(time.Second))
}

// drain pulls the messages from one offset to another.
func (p *pile) drain(ctx context.Context, from, to int64) error {
	w, err := dialWire(ctx, p.process.broker)
	if err != nil {
		return err
	}
	defer w.close()
	began, next := time.Now(), from+accumulatePart
	for at := from; at < to; {
		_, records, err := w.ask(codePull, map[string]string{
			"consumerGroup": "bench_pile", "topic": topicPile, "queueId": "0", "queueOffset": strconv.FormatInt(at, 10), "maxMsgNums": "32",
			"sysFlag": "4", "commitOffset": "0", "suspendTimeoutMillis": "0", "subscription": "*", "subVersion": "0", "expressionType": "TAG",
		})
		if err != nil {
			return fmt.Errorf("pull at %d: %w", at, err)
		}
		for len(records) >= 28 {
			if offset := int64(binary.BigEndian.Uint64(records[20:])); offset != at {
				return fmt.Errorf("offset %d comes where %d is due", offset, at)
			}
			size := min(int(binary.BigEndian.Uint32(records)), len(records))
			if size < 28 {
				return fmt.Errorf("a record of %d bytes at offset %d", size, at)
			}
			records = records[size:]
			at++
		}
		if at >= next {
			p.line("pulled", at-from, to-from, began)
			next += accumulatePart
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// restarts measures a start after a stop and one after a kill -9 under load.
func (p *pile) restarts(ctx context.Context) (clean, killed time.Duration, err error) {
	if err := p.process.stop(); err != nil {
		return 0, 0, err
	}
	if p.process, err = startLite(ctx, p.binary, p.dir); err != nil {
		return 0, 0, err
	}
	clean = p.process.ready
	if err := p.fill(ctx, 500_000, 128); err != nil { // there is something to recover
		return 0, 0, err
	}
	if err := p.process.cmd.Process.Kill(); err != nil {
		return 0, 0, err
	}
	<-p.process.exited
	if p.process, err = startLite(ctx, p.binary, p.dir); err != nil {
		return 0, 0, err
	}
	return clean, p.process.ready, nil
}
