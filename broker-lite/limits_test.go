package brokerlite

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// The tests here that count memory are not parallel: they count the process's.

// living is how much of the heap lives.
func living() int64 {
	runtime.GC()
	runtime.GC() // what pools held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// wire is a peer that writes frames and reads answers itself, to cost the
// process as little as it can.
type wire struct {
	net.Conn
	buf []byte
}

// ask sends one frame and reads the answer to it.
func (c *wire) ask(frame []byte) error {
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write(frame); err != nil {
		return err
	}
	_, err := c.read()
	return err
}

// read reads one command, which is valid until the next.
func (c *wire) read() (*protocol.Command, error) {
	c.buf = append(c.buf[:0], 0, 0, 0, 0)
	if _, err := io.ReadFull(c, c.buf); err != nil {
		return nil, err
	}
	size, err := protocol.FrameSize(c.buf)
	if err != nil {
		return nil, err
	}
	c.buf = append(c.buf, make([]byte, size-4)...)
	if _, err := io.ReadFull(c, c.buf[4:]); err != nil {
		return nil, err
	}
	var cmd protocol.Command
	if err := protocol.DecodeFrame(c.buf, &cmd); err != nil {
		return nil, err
	}
	return &cmd, nil
}

func encoded(t testing.TB, cmd *protocol.Command, h protocol.Header, body []byte) []byte {
	t.Helper()
	frame, err := protocol.AppendFrame(nil, cmd, h, body)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

func TestFiveThousandConnectionsAreHeld(t *testing.T) {
	const conns, most = 5000, 48 << 10
	opts := []Option{InMemory(), Conf(fmt.Sprintf("maxConnections=%d", conns+1))}
	if files, ok := openFiles(); !ok || files < 3*conns+1000 {
		t.Logf("this process may open %d files: on a network in memory instead", files)
		opts = append(opts, VirtualNetwork(NewNetwork()))
	}
	var l logs
	b := start(t, append(opts, WithLogger(l.logger()))...)
	control := dial(t, b)
	control.createTopic("orders", 1)
	control.send(sending("orders"), "hello")
	beats := make([][]byte, conns)
	for i := range beats {
		body, err := protocol.EncodeBody(protocol.HeartbeatData{ClientID: fmt.Sprint("10.0.0.1@", i), Producers: []protocol.ProducerData{{GroupName: "producers"}}})
		if err != nil {
			t.Fatal(err)
		}
		beats[i] = encoded(t, &protocol.Command{Code: protocol.Heartbeat}, nil, body)
	}
	before := living()
	all := make([]*wire, conns)
	t.Cleanup(func() {
		for _, c := range all {
			if c != nil {
				_ = c.Close()
			}
		}
	})
	for i := range all {
		nc, err := b.Dial(t.Context(), "tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		all[i] = &wire{Conn: nc}
	}
	answered := func() (took time.Duration) {
		t.Helper()
		began := time.Now()
		var wg sync.WaitGroup
		const workers = 50
		for w := range workers {
			wg.Go(func() {
				for i := w; i < conns; i += workers {
					if err := all[i].ask(beats[i]); err != nil {
						t.Errorf("connection %d: %v", i, err)
						return
					}
				}
			})
		}
		wg.Wait()
		return time.Since(began)
	}
	first := answered()
	each := (living() - before) / conns
	second := answered()
	control.send(sending("orders"), "hello")
	t.Logf("%d bytes for each connection, both ends; all answered in %v, and again in %v", each, first, second)
	if each > most {
		t.Errorf("a connection costs %d bytes, want at most %d", each, most)
	}

	// One more than the limit, which the control connection has filled.
	nc, err := b.Dial(t.Context(), "tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	more := &wire{Conn: nc}
	defer more.Close()
	if err := more.ask(beats[0]); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection more than the limit: %v, want it closed", err)
	}
	if text := l.String(); !strings.Contains(text, "limit="+fmt.Sprint(conns+1)) || !strings.Contains(text, "maxConnections in broker.conf") {
		t.Errorf("logged %s", text)
	}
}

func TestAConsumerThatReadsNothingTakesBoundedMemory(t *testing.T) {
	const pulls, most = 2000, 40 << 20
	synctest.Test(t, func(t *testing.T) {
		var l logs
		b := start(t, InMemory(), VirtualNetwork(NewNetwork()), WithLogger(l.logger()))
		c := dial(t, b)
		c.createTopic("orders", 1)
		for range 32 {
			c.send(sending("orders"), strings.Repeat("x", 8000))
		}
		deaf, err := b.Dial(t.Context(), "tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer deaf.Close()
		pull := encoded(t, &protocol.Command{Code: protocol.PullMessage}, pulling("orders", 0, "*"), nil)
		before := living()
		go func() {
			for range pulls { // 500 MB of answers
				if _, err := deaf.Write(pull); err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		if got := living() - before; got > most {
			t.Errorf("%d bytes are kept for a consumer that reads nothing, want at most %d", got, most)
		}
		if got := len(c.messages("orders", 0)); got != 32 {
			t.Errorf("another consumer gets %d messages", got)
		}
		time.Sleep(time.Minute)
		if text := l.String(); !strings.Contains(text, "takes no bytes") {
			t.Errorf("logged %s", text)
		}
	})
}

func TestFramesAreAsLongAsTheConfigurationSays(t *testing.T) {
	var l logs
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		c.send(sending("orders"), strings.Repeat("x", 34_464))
		for _, addr := range []string{b.Addr(), b.NameServer()} {
			nc, err := b.Dial(t.Context(), "tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if err := (&wire{Conn: nc}).ask([]byte{0, 1, 0x86, 0xa0, 0, 0, 0, 0}); !errors.Is(err, io.EOF) && (err == nil || !strings.Contains(err.Error(), "reset")) {
				t.Errorf("a frame of 100004 bytes: %v, want the connection closed", err)
			}
		}
		if got := strings.Count(l.String(), "100004 bytes, at most 100000"); got != 2 {
			t.Errorf("logged %s", l.String())
		}
	}, Conf("frameMaxLength=100000\nmaxMessageSize=34464"), WithLogger(l.logger()))
}

// A request that waits keeps what is still needed of it, not what its header had
// besides.
func TestWhatARequestThatWaitsKeepsIsBounded(t *testing.T) {
	pop := popping("orders")
	pop.PollTime, pop.BrokerName = time.Minute.Milliseconds(), strings.Repeat("x", 1<<20)
	pull := suspending("orders", 0, "*", time.Minute)
	pull.Subscription = "*" + strings.Repeat(" ", 6<<10)
	for name, c := range map[string]struct {
		code  protocol.Code
		h     protocol.Header
		n     int
		parts int // bytes of each that are counted, at most
	}{
		"pops":  {protocol.PopMessage, pop, 60, 16 << 10},
		"pulls": {protocol.PullMessage, pull, 1000, 4 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, InMemory(), VirtualNetwork(NewNetwork()))
				control := dial(t, b)
				control.createTopic("orders", 1)
				control.heartbeat("me", "", "group", subscription(t, "orders", "*"))
				nc, err := b.Dial(t.Context(), "tcp", b.Addr())
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
				frame := encoded(t, &protocol.Command{Code: c.code}, c.h, nil)
				before := living()
				for range c.n {
					if _, err := nc.Write(frame); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				if got := b.broker.ParkedPulls(); name == "pulls" && got != c.n {
					t.Fatalf("%d pulls wait, want %d", got, c.n)
				}
				if got := control.call(protocol.PollingInfo, &protocol.PeekRequest{Code: protocol.PollingInfo, ConsumerGroup: "group", Topic: "orders", QueueID: -1}, nil).Fields.Value("pollingNum"); name == "pops" && got != fmt.Sprint(c.n) {
					t.Fatalf("%s pops wait, want %d", got, c.n)
				}
				if each := (living() - before) / int64(c.n); each > int64(c.parts) {
					t.Errorf("a request that waits keeps %d bytes of its %d, want at most %d", each, len(frame), c.parts)
				}
			})
		})
	}
}
