package conformance_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// framed is a frame with that header and codec, as they are.
func framed(codec byte, headerLength uint32, header, body string) []byte {
	f := binary.BigEndian.AppendUint32(nil, uint32(4+len(header)+len(body)))
	f = binary.BigEndian.AppendUint32(f, uint32(codec)<<24|headerLength&0xFFFFFF)
	return append(append(f, header...), body...)
}

func sized(codec byte, header string) []byte { return framed(codec, uint32(len(header)), header, "") }

// hostileFrames are what no client of RocketMQ sends.
func hostileFrames() map[string][]byte {
	binaryHeader := string([]byte{0, 30, 12, 1, 0, 0, 0, 0, 9, 0, 0, 0, 0}) // code, language, version, opaque, flag
	return map[string][]byte{
		"a length of 0":                     {0, 0, 0, 0},
		"a negative length":                 {0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0},
		"a length over 16 MiB":              {0x01, 0x00, 0x00, 0x01, 0, 0, 0, 2, '{', '}'},
		"a length of 2 GiB":                 {0x7F, 0xFF, 0xFF, 0xFF, 0, 0, 0, 2, '{', '}'},
		"a header beyond the frame":         framed(0, 100, "{}", ""),
		"a header of 16 MiB":                framed(0, 0xFFFFFF, "{}", ""),
		"a header of nothing":               framed(0, 0, "", "body"),
		"an unknown codec":                  sized(9, "{}"),
		"no JSON":                           sized(0, "hello, world"),
		"JSON that is no object":            sized(0, `[1,2,3]`),
		"JSON with wrong types":             sized(0, `{"code":"x","opaque":[],"extFields":7}`),
		"JSON cut off":                      sized(0, `{"code":310,"extFields":{"a":"b`),
		"JSON nested deeply":                sized(0, strings.Repeat("[", 100_000)),
		"JSON nested deeply in a field":     sized(0, `{"code":30,"extFields":`+strings.Repeat(`{"a":`, 50_000)),
		"a binary header cut off":           sized(1, binaryHeader[:7]),
		"a binary header with long remark":  sized(1, binaryHeader+string([]byte{0x7F, 0xFF, 0xFF, 0xFF})),
		"a binary header with minus remark": sized(1, binaryHeader+string([]byte{0xFF, 0xFF, 0xFF, 0xFE})),
		"a binary header with long fields":  sized(1, binaryHeader+string([]byte{0, 0, 0, 0, 0x7F, 0, 0, 0, 0, 1, 'a', 0, 0, 0, 9})),
		"a binary field longer than all":    sized(1, binaryHeader+string([]byte{0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 'a', 0x7F, 0xFF, 0xFF, 0xFF})),
		"half a frame":                      frame(codeSendV2, map[string]string{"a": "g"}, bytes.Repeat([]byte("x"), 1000))[:500],
		"another protocol":                  []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"a response that nobody waits for":  sized(0, `{"code":0,"flag":1,"language":"JAVA","opaque":123456,"version":401}`),
	}
}

// hostileRequests are well-formed frames whose content makes no sense: each is
// answered with an error.
func hostileRequests(topic string) map[string][]byte {
	queue := func(fields map[string]string) map[string]string {
		all := map[string]string{
			"consumerGroup": "g", "topic": topic, "queueId": "0", "queueOffset": "0", "maxMsgNums": "32", "sysFlag": "0",
			"commitOffset": "0", "suspendTimeoutMillis": "0", "subVersion": "0", "expressionType": "TAG", "subscription": "*",
		}
		for k, v := range fields {
			all[k] = v
		}
		return all
	}
	send := map[string]string{
		"a": "g", "b": topic, "c": "TBW102", "d": "4", "e": "0", "f": "0", "g": strconv.FormatInt(time.Now().UnixMilli(), 10),
		"h": "0", "i": "", "j": "0", "k": "false", "m": "true",
	}
	negative := binary.BigEndian.AppendUint32(nil, 0xFFFFFFF0)
	return map[string][]byte{
		"a send without fields":           frame(codeSendV2, nil, []byte("b")),
		"a pull without fields":           frame(11, nil, nil),
		"a pull of no number":             frame(11, queue(map[string]string{"queueOffset": "abc"}), nil),
		"a pull of queue 99":              frame(11, queue(map[string]string{"queueId": "99"}), nil),
		"a pull of queue -1":              frame(11, queue(map[string]string{"queueId": "-1"}), nil),
		"a batch of negative size":        frame(320, send, negative),
		"a batch cut off":                 frame(320, send, []byte{0, 0, 0, 99, 0, 0}),
		"a heartbeat that is no JSON":     frame(34, nil, []byte("hello")),
		"a send-back of nothing":          frame(36, map[string]string{"offset": "-7", "group": "g", "delayLevel": "3"}, nil),
		"a topic of minus one queue":      frame(codeCreateTopic, map[string]string{"topic": topic, "readQueueNums": "x", "writeQueueNums": "-1", "perm": "6"}, nil),
		"a view of a message before zero": frame(33, map[string]string{"offset": "-1"}, nil),
	}
}

func hostile(s *stand) {
	topic := s.topic()
	alive := func(after string) {
		s.Helper()
		if a := s.ask(s.server.broker, codeMaxOffset, map[string]string{"topic": topic, "queueId": "0"}); a.Code != answerOK {
			s.Fatalf("after %s: %+v", after, a)
		}
		if a := s.ask(s.server.nameServers[0], codeRoute, map[string]string{"topic": topic}); a.Code != answerOK {
			s.Fatalf("after %s, name server: %+v", after, a)
		}
	}
	for what, bytes := range hostileFrames() {
		for _, addr := range []string{s.server.broker, s.server.nameServers[0]} {
			s.throw(what, addr, bytes)
		}
		alive(what)
	}
	for what, request := range hostileRequests(topic) {
		conn := s.dial(s.server.broker)
		if a := s.askOn(conn, request); a.Code == answerOK || a.Code == 19 && a.Remark == "" {
			s.Errorf("%s: answered %+v, want an error", what, a)
		}
		conn.Close()
		alive(what)
	}
	s.holds(topic, 0)
}

// throw writes bytes to a server, and waits until it has closed the connection or
// waits for more itself.
func (s *stand) throw(what, addr string, bytes []byte) {
	s.Helper()
	conn := s.dial(addr)
	defer conn.Close()
	if _, err := conn.Write(bytes); err != nil && !errors.Is(err, net.ErrClosed) && !reset(err) {
		s.Fatalf("%s: %v", what, err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		s.Fatal(err)
	}
	_, err := io.Copy(io.Discard, conn)
	switch closed := err == nil || reset(err); {
	case closed || errors.Is(err, os.ErrDeadlineExceeded):
	default:
		s.Errorf("%s at %s: %v", what, addr, err)
	}
}

// reset: the other side has closed before it had read all.
func reset(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "reset") || strings.Contains(err.Error(), "broken pipe") || strings.Contains(err.Error(), "closed"))
}
