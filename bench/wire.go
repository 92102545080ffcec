package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// Request codes that the bench uses itself.
const (
	codeSend         = 10
	codePull         = 11
	codeCreateTopic  = 17
	codeRuntimeInfo  = 28
	codeGetMaxOffset = 30
	codeGetRoute     = 105
)

// wire asks a server by hand-written frames, one at a time.
type wire struct {
	conn   net.Conn
	opaque int
}

func dialWire(ctx context.Context, addr string) (*wire, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &wire{conn: conn}, nil
}

func (w *wire) close() { _ = w.conn.Close() } // nothing was written that is not answered

// header is a frame's, in JSON.
type header struct {
	Code      int               `json:"code"`
	Flag      int               `json:"flag"`
	Language  string            `json:"language"`
	Opaque    int               `json:"opaque"`
	Codec     string            `json:"serializeTypeCurrentRPC"`
	Version   int               `json:"version"`
	Remark    string            `json:"remark,omitempty"`
	ExtFields map[string]string `json:"extFields,omitempty"`
}

// ask sends one request and returns the answer's fields and body; a refusal is an
// error.
func (w *wire) ask(code int, fields map[string]string) (map[string]string, []byte, error) {
	return w.askWith(code, fields, nil)
}

// askWith is ask with a body.
func (w *wire) askWith(code int, fields map[string]string, body []byte) (map[string]string, []byte, error) {
	w.opaque++
	head, err := json.Marshal(header{Code: code, Language: "GO", Opaque: w.opaque, Codec: "JSON", Version: 493, ExtFields: fields})
	if err != nil {
		return nil, nil, err
	}
	frame := binary.BigEndian.AppendUint32(nil, uint32(4+len(head)+len(body)))
	frame = append(binary.BigEndian.AppendUint32(frame, uint32(len(head))), head...)
	frame = append(frame, body...)
	if err := w.conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, nil, err
	}
	if _, err := w.conn.Write(frame); err != nil {
		return nil, nil, err
	}
	var sizes [8]byte
	if _, err := io.ReadFull(w.conn, sizes[:]); err != nil {
		return nil, nil, err
	}
	size, headSize := binary.BigEndian.Uint32(sizes[:]), binary.BigEndian.Uint32(sizes[4:])&0xFFFFFF
	if size < 4 || size > 16<<20 || headSize > size-4 {
		return nil, nil, fmt.Errorf("a frame of %d bytes with a header of %d", size, headSize)
	}
	rest := make([]byte, size-4)
	if _, err := io.ReadFull(w.conn, rest); err != nil {
		return nil, nil, err
	}
	var answer header
	if err := json.NewDecoder(bytes.NewReader(rest[:headSize])).Decode(&answer); err != nil {
		return nil, nil, fmt.Errorf("the answer to code %d: %w", code, err)
	}
	if answer.Code != 0 {
		return nil, nil, fmt.Errorf("code %d was refused with %d: %s", code, answer.Code, answer.Remark)
	}
	return answer.ExtFields, rest[headSize:], nil
}

// maxOffsets is the sum of a topic's maximum offsets: how many messages it took.
func (w *wire) maxOffsets(topic string) (int64, error) {
	sum := int64(0)
	for id := range topicQueues {
		fields, _, err := w.ask(codeGetMaxOffset, map[string]string{"topic": topic, "queueId": strconv.Itoa(id)})
		if err != nil {
			return 0, fmt.Errorf("the maximum offset of queue %d of %s: %w", id, topic, err)
		}
		n, err := strconv.ParseInt(fields["offset"], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("the maximum offset of queue %d of %s: %w", id, topic, err)
		}
		sum += n
	}
	return sum, nil
}

// createTopics makes the bench's topics and waits until the name server has
// them.
func createTopics(ctx context.Context, nameServer, broker string) error {
	for _, topic := range []string{topicSend, topicOneway, topicFilled} {
		if err := createTopic(ctx, nameServer, broker, topic, topicQueues); err != nil {
			return err
		}
	}
	return nil
}

// createTopic makes one topic.
func createTopic(ctx context.Context, nameServer, broker, topic string, n int) error {
	b, err := dialWire(ctx, broker)
	if err != nil {
		return err
	}
	defer b.close()
	names, err := dialWire(ctx, nameServer)
	if err != nil {
		return err
	}
	defer names.close()
	queues := strconv.Itoa(n)
	if _, _, err := b.ask(codeCreateTopic, map[string]string{
		"topic": topic, "defaultTopic": "TBW102", "readQueueNums": queues, "writeQueueNums": queues,
		"perm": "6", "topicFilterType": "SINGLE_TAG", "topicSysFlag": "0", "order": "false",
	}); err != nil {
		return fmt.Errorf("make topic %s: %w", topic, err)
	}
	err = poll(ctx, 50*time.Millisecond, func() error {
		_, _, err := names.ask(codeGetRoute, map[string]string{"topic": topic})
		return err
	})
	if err != nil {
		return fmt.Errorf("the route of topic %s: %w", topic, err)
	}
	return nil
}

// poll calls f until it succeeds or ctx ends; the error is f's last.
func poll(ctx context.Context, every time.Duration, f func() error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}
