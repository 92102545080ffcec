package remoting

import (
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// TestIdleConnectionsKeepNothingOfWhatTheySaid counts the process's memory, so it
// is not parallel.
func TestIdleConnectionsKeepNothingOfWhatTheySaid(t *testing.T) {
	const conns, header, body, most = 64, 2 << 20, 1 << 20, 256 << 10
	kept := make([]string, conns)
	s := start(t, ServerOptions{Options: Options{Handler: func(c *Conn, cmd *protocol.Command) {
		kept[c.ID()-1], _ = cmd.Fields.Get("topic") // as a broker keeps names
		resp := cmd.Response(protocol.Success, "")
		if err := c.Reply(&resp, nil); err != nil {
			t.Error(err)
		}
	}}}, ClientOptions{})
	cmd := request(1)
	cmd.Fields = protocol.Fields{{Key: "topic", Value: "orders"}, {Key: "long", Value: strings.Repeat("x", header)}}
	cmd.Body = make([]byte, body)
	big := frame(t, cmd, nil)
	raw := make([]net.Conn, conns)
	before := heap()
	for i := range raw {
		raw[i] = s.raw(t)
		if _, err := raw[i].Write(big); err != nil {
			t.Fatal(err)
		}
		readCommand(t, raw[i])
	}
	if got := (heap() - before) / conns; got > most {
		t.Errorf("an idle connection keeps %d bytes of a request with a header of %d and a body of %d, want at most %d", got, header, body, most)
	}
	if kept[conns-1] != "orders" {
		t.Errorf("kept %q", kept[conns-1])
	}
	runtime.KeepAlive(raw)
}

// heap is what lives.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what pools held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestAFrameThatComesByteByByteEndsItsConnection(t *testing.T) {
	small, large := frame(t, request(1), nil), request(1)
	large.Body = make([]byte, 1<<20)
	bubbles(t, map[string]struct {
		bytes []byte
		from  int // already there
		limit time.Duration
	}{
		"length field": {small, 1, 8 * time.Second},
		"small frame":  {small, 5, 8 * time.Second},
		"second frame": {append(small[:len(small):len(small)], small...), len(small) + 5, 8 * time.Second},
		"large frame":  {frame(t, large, nil), 70 << 10, 8*time.Second + (1<<20+100)*time.Second/minFrameRate},
	}, func(t *testing.T, c struct {
		bytes []byte
		from  int
		limit time.Duration
	}) {
		o := serving()
		o.IdleTimeout = 8 * time.Second
		s := start(t, o, ClientOptions{})
		raw := s.raw(t)
		if _, err := raw.Write(c.bytes[:c.from]); err != nil {
			t.Fatal(err)
		}
		began, err := time.Now(), error(nil)
		for i := c.from; err == nil && i < len(c.bytes) && time.Since(began) < 10*time.Minute; i++ {
			time.Sleep(5 * time.Second)
			_, err = raw.Write(c.bytes[i : i+1])
		}
		if took := time.Since(began); err == nil || took < c.limit || took > c.limit+20*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		if logged := strings.Join(s.logs.atLeast(0), "\n"); !strings.Contains(logged, "comes too slowly") {
			t.Errorf("logged %q", logged)
		}
	})
}

func TestAFrameInPiecesIsServed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := serving()
		o.IdleTimeout = 8 * time.Second
		s := start(t, o, ClientOptions{})
		raw := s.raw(t)
		one := frame(t, request(1), nil)
		for range 20 { // each takes 6 s, all of them much more than the limit
			for _, piece := range [][]byte{one[:3], one[3:9], one[9:]} {
				time.Sleep(2 * time.Second)
				if _, err := raw.Write(piece); err != nil {
					t.Fatal(err)
				}
			}
			readCommand(t, raw)
		}
	})
}
