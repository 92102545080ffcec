package remoting

import (
	"bytes"
	"testing"
	"testing/synctest"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// FuzzAServerSurvivesAnyStream: whatever comes, in whatever pieces, the server
// neither panics nor hangs, forgets the connection, and serves the next.
func FuzzAServerSurvivesAnyStream(f *testing.F) {
	binary := frame(f, request(1), nil)
	json := frame(f, &protocol.Command{Code: 34, Remark: "x", Fields: protocol.Fields{{Key: "a", Value: "b"}}, Body: []byte("body")}, nil)
	response := frame(f, &protocol.Command{Codec: protocol.Binary, Flag: 1, Opaque: 3}, nil)
	f.Add(bytes.Join([][]byte{binary, json, response, binary}, nil), uint16(3))
	f.Add(json[:len(json)-5], uint16(1))
	f.Add([]byte("\xff\xff\xff\xff"), uint16(0))
	f.Add(frame(f, request(codePanic), nil), uint16(100))
	f.Fuzz(func(t *testing.T, stream []byte, piece uint16) {
		synctest.Test(t, func(t *testing.T) {
			s := start(t, serving(), ClientOptions{})
			raw := s.raw(t)
			for rest := stream; len(rest) > 0; {
				n := min(len(rest), int(piece)+1)
				if _, err := raw.Write(rest[:n]); err != nil {
					break // refused by now
				}
				synctest.Wait()
				rest = rest[n:]
			}
			_ = raw.Close()
			synctest.Wait()
			for c := range s.server.Conns() {
				t.Errorf("connection %d of %v is left", c.ID(), c.RemoteAddr())
			}
			mustAnswer(t, s.conn(t))
		})
	})
}
