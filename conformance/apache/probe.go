package apache

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// clusterInfo asks a name server for code 106 and returns the body. It speaks
// the one frame by hand: this package must not lean on the codec that the suite
// puts to the test.
func clusterInfo(ctx context.Context, address string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return "", err
		}
	}
	header := `{"code":106,"flag":0,"language":"GO","opaque":1,"serializeTypeCurrentRPC":"JSON","version":413}`
	frame := binary.BigEndian.AppendUint32(nil, uint32(4+len(header)))
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(header)))
	if _, err := conn.Write(append(frame, header...)); err != nil {
		return "", err
	}
	body, err := readBody(conn)
	if err != nil {
		return "", fmt.Errorf("apache: code 106 at %s: %w", address, err)
	}
	return body, nil
}

// readBody reads one frame and returns what follows its header.
func readBody(r io.Reader) (string, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return "", err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 4 || n > 1<<24 {
		return "", fmt.Errorf("a frame of %d bytes", n)
	}
	var frame bytes.Buffer // grows with what arrives, not with what is announced
	if _, err := io.CopyN(&frame, r, int64(n)); err != nil {
		return "", err
	}
	header := binary.BigEndian.Uint32(frame.Bytes()) & 0xFFFFFF
	if header > n-4 {
		return "", fmt.Errorf("a header of %d bytes in a frame of %d", header, n)
	}
	return string(frame.Bytes()[4+header:]), nil
}
