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

// accumulateChunk is how many messages are sent and pulled to measure a rate.
const accumulateChunk = 500_000

const topicPile = "bench_pile"

// pile is a standalone broker-lite whose one queue is filled and drained.
type pile struct {
	out     io.Writer
	binary  string
	dir     string
	process *liteProcess
	most    atomic.Int64 // resident bytes seen
}

// accumulate fills one queue with n messages, drains it, and starts the server anew
// after a stop and after a kill. The error says which limits are broken.
func accumulate(ctx context.Context, n int64, body int, out io.Writer) (err error) {
	if n < 2*accumulateChunk {
		return fmt.Errorf("-accumulate %d: want %d at least", n, 2*accumulateChunk)
	}
	if !hasProc {
		return errors.New("-accumulate needs Linux's /proc")
	}
	dir, err := os.MkdirTemp("", "rocketkit-pile-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	p := &pile{out: out, dir: filepath.Join(dir, "server")}
	if p.binary, err = buildServer(ctx, dir); err != nil {
		return err
	}
	if p.process, err = startLite(ctx, p.binary, p.dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.process.stop()) }()
	fmt.Fprintf(out, "%s, %d MiB of memory; store in %s, ASYNC_FLUSH, one queue, bodies of %d bytes\n", machine(), memoryMiB(), dir, body)
	if err := createTopic(ctx, p.process.nameServer, p.process.broker, topicPile, 1); err != nil {
		return err
	}
	return p.run(ctx, n, body)
}

func (p *pile) run(ctx context.Context, n int64, body int) error {
	watching, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.watch(watching)
	}()
	defer func() { stop(); <-ended }()
	sentFirst, err := p.fill(ctx, accumulateChunk, body)
	if err != nil {
		return err
	}
	pulledFirst, err := p.drain(ctx, 0, accumulateChunk)
	if err != nil {
		return err
	}
	if _, err := p.fill(ctx, n-2*accumulateChunk, body); err != nil {
		return err
	}
	sentLast, err := p.fill(ctx, accumulateChunk, body)
	if err != nil {
		return err
	}
	filled := p.most.Load()
	if _, err := p.drain(ctx, 0, n-accumulateChunk); err != nil {
		return err
	}
	pulledLast, err := p.drain(ctx, n-accumulateChunk, n)
	if err != nil {
		return err
	}
	stop()
	<-ended
	clean, killed, err := p.restarts(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "resident: %d MiB while filled, %d MiB in all\nsends: %.0f/s on the empty server, %.0f/s at the end\npulls: %.0f/s on the empty server, %.0f/s at the end\nstart: %v after a stop, %v after kill -9\n",
		filled>>20, p.most.Load()>>20, sentFirst, sentLast, pulledFirst, pulledLast, clean.Round(time.Millisecond), killed.Round(time.Millisecond))
	var errs []error
	limit := func(kept bool, what string) {
		if !kept {
			errs = append(errs, errors.New(what))
		}
	}
	limit(p.most.Load() < mostResident, "more than 200 MiB are resident")
	limit(sentLast >= leastRate*sentFirst, "sends are more than 20 % slower at the end")
	limit(pulledLast >= leastRate*pulledFirst, "pulls are more than 20 % slower at the end")
	limit(clean < longestStart, "the start after a stop takes more than 1 s")
	limit(killed < longestRepair, "the start after kill -9 takes more than 5 s")
	return errors.Join(errs...)
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

// fill sends so many messages and returns how many a second that were.
func (p *pile) fill(ctx context.Context, n int64, body int) (perSecond float64, err error) {
	began := time.Now()
	for sent := int64(0); sent < n; {
		part := min(accumulatePart, n-sent)
		if err := fillTopic(ctx, p.process.nameServer, topicPile, body, part); err != nil {
			return 0, err
		}
		sent += part
		p.line("sent", sent, n, began)
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

func (p *pile) line(what string, done, all int64, began time.Time) {
	passed := time.Since(began)
	left := time.Duration(float64(passed) / float64(done) * float64(all-done))
	fmt.Fprintf(p.out, "%s %d of %d, %.0f/s, at most %d MiB resident, %v left\n", what, done, all, float64(done)/passed.Seconds(), p.most.Load()>>20, left.Round(time.Second))
}

// drain pulls the messages from one offset to another and returns how many a second
// that were.
func (p *pile) drain(ctx context.Context, from, to int64) (perSecond float64, err error) {
	w, err := dialWire(ctx, p.process.broker)
	if err != nil {
		return 0, err
	}
	defer w.close()
	began, next := time.Now(), from+accumulatePart
	for at := from; at < to; {
		_, records, err := w.ask(codePull, map[string]string{
			"consumerGroup": "bench_pile", "topic": topicPile, "queueId": "0", "queueOffset": strconv.FormatInt(at, 10), "maxMsgNums": "32",
			"sysFlag": "4", "commitOffset": "0", "suspendTimeoutMillis": "0", "subscription": "*", "subVersion": "0", "expressionType": "TAG",
		})
		if err != nil {
			return 0, fmt.Errorf("pull at %d: %w", at, err)
		}
		for len(records) >= 28 {
			if offset := int64(binary.BigEndian.Uint64(records[20:])); offset != at {
				return 0, fmt.Errorf("offset %d comes where %d is due", offset, at)
			}
			size := min(int(binary.BigEndian.Uint32(records)), len(records))
			if size < 28 {
				return 0, fmt.Errorf("a record of %d bytes at offset %d", size, at)
			}
			records = records[size:]
			at++
		}
		if at >= next {
			p.line("pulled", at-from, to-from, began)
			next += accumulatePart
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
	return float64(to-from) / time.Since(began).Seconds(), nil
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
	if _, err := p.fill(ctx, accumulateChunk, 128); err != nil { // there is something to recover
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
