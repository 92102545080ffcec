package conformance_test

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

// RocketMQ's codes that cases ask by hand. The suite must not lean on the codec
// that it puts to the test.
const (
	codeSendV2       = 310
	codeQueryOffset  = 14
	codeCreateTopic  = 17
	codeMaxOffset    = 30
	codeRoute        = 105
	answerOK         = 0
	answerSystem     = 1
	answerBusy       = 2
	answerNoSuchCode = 3
	answerIllegal    = 13
	answerInvalid    = 29 // INVALID_PARAMETER, 5.x
)

// answer is a server's response.
type answer struct {
	Code   int               `json:"code"`
	Opaque int32             `json:"opaque"`
	Flag   int               `json:"flag"`
	Remark string            `json:"remark"`
	Ext    map[string]string `json:"extFields"`
	body   []byte
}

// frame is a request with a JSON header.
func frame(code int, ext map[string]string, body []byte) []byte {
	header, err := json.Marshal(map[string]any{"code": code, "language": "JAVA", "version": 401, "opaque": 7, "flag": 0, "extFields": ext})
	if err != nil {
		panic(err) // strings and numbers
	}
	f := binary.BigEndian.AppendUint32(nil, uint32(4+len(header)+len(body)))
	f = binary.BigEndian.AppendUint32(f, uint32(len(header)))
	return append(append(f, header...), body...)
}

// readAnswer reads one response with a JSON header.
func readAnswer(r io.Reader) (a answer, err error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return a, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 4 || n > 1<<24 {
		return a, fmt.Errorf("a frame of %d bytes", n)
	}
	var f bytes.Buffer
	if _, err := io.CopyN(&f, r, int64(n)); err != nil {
		return a, err
	}
	header := binary.BigEndian.Uint32(f.Bytes()) & 0xFFFFFF
	if header > n-4 {
		return a, fmt.Errorf("a header of %d bytes in a frame of %d", header, n)
	}
	a.body = f.Bytes()[4+header:]
	return a, json.Unmarshal(f.Bytes()[4:4+header], &a)
}

// dial connects to a server by hand; the connection ends with the case.
func (s *stand) dial(addr string) net.Conn {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Second)
	defer cancel()
	conn, err := s.server.dial(ctx, "tcp", addr)
	if err != nil {
		s.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(s.limit())); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { conn.Close() })
	return conn
}

// ask makes one request.
func (s *stand) ask(addr string, code int, ext map[string]string) answer {
	s.Helper()
	conn := s.dial(addr)
	defer conn.Close()
	return s.askOn(conn, frame(code, ext, nil))
}

func (s *stand) askOn(conn net.Conn, request []byte) answer {
	s.Helper()
	if _, err := conn.Write(request); err != nil {
		s.Fatal(err)
	}
	a, err := readAnswer(conn)
	if err != nil {
		s.Fatalf("read the answer: %v", err)
	}
	return a
}

// createTopic makes a topic and waits until a name server knows it.
func (s *stand) createTopic(topic string, queues int) {
	s.Helper()
	s.alterTopic(topic, queues, queues)
}

// alterTopic is createTopic, or the change of a topic, with queues of which not all
// are written to and read.
func (s *stand) alterTopic(topic string, write, read int) {
	s.Helper()
	const misses = 5 * time.Second
	perm := 6
	s.putTopic(topic, write, read, perm)
	begun := time.Now()
	s.eventually("topic "+topic+" is known", func() bool {
		// Apache's name server misses a change that has the data version of another
		// one, made at the same time; a further change of the topic makes it look.
		if time.Since(begun) > misses {
			begun, perm = time.Now(), 13-perm // 7 lets others be made like it
			s.putTopic(topic, write, read, perm)
		}
		a := s.ask(s.server.nameServers[0], codeRoute, map[string]string{"topic": topic})
		return a.Code == answerOK && bytes.Contains(a.body, fmt.Appendf(nil, `"readQueueNums":%d`, read)) && bytes.Contains(a.body, fmt.Appendf(nil, `"writeQueueNums":%d`, write))
	})
}

// putTopic makes or changes a topic at the broker.
func (s *stand) putTopic(topic string, write, read, perm int) {
	s.Helper()
	var a answer
	s.eventually("the broker is not busy", func() bool {
		a = s.ask(s.server.broker, codeCreateTopic, map[string]string{
			"topic": topic, "defaultTopic": "TBW102", "readQueueNums": strconv.Itoa(read), "writeQueueNums": strconv.Itoa(write),
			"perm": strconv.Itoa(perm), "topicFilterType": "SINGLE_TAG", "topicSysFlag": "0", "order": "false",
		})
		return a.Code != answerBusy
	})
	if a.Code != answerOK {
		s.Fatalf("create topic %s: %d %s", topic, a.Code, a.Remark)
	}
}

// stored is how many messages a topic's queue has taken.
func (s *stand) stored(topic string, queue int) int {
	s.Helper()
	return s.offset(codeMaxOffset, map[string]string{"topic": topic, "queueId": strconv.Itoa(queue)})
}

// holds says that n messages were stored in a topic made by topic. Apache's brokers
// count them a little later, in the order in which they were stored: a further
// message tells when they are done.
func (s *stand) holds(topic string, n int) {
	s.Helper()
	a := s.sendByHand(topic)
	if a.Code != answerOK {
		s.Fatalf("send by hand: %d %s", a.Code, a.Remark)
	}
	marker, err := strconv.Atoi(a.Ext["queueOffset"])
	if err != nil {
		s.Fatal(err)
	}
	s.eventually("a message is counted", func() bool { return s.stored(topic, 0) > marker })
	if got := s.storedIn(topic) - 1; got != n {
		s.Errorf("%d messages are stored, want %d", got, n)
	}
}

// sendByHand sends a message to queue 0.
func (s *stand) sendByHand(topic string) answer {
	s.Helper()
	return s.askOn(s.dial(s.server.broker), frame(codeSendV2, map[string]string{
		"a": "by_hand", "b": topic, "c": "TBW102", "d": "4", "e": "0", "f": "0", "g": strconv.FormatInt(time.Now().UnixMilli(), 10),
		"h": "0", "i": "", "j": "0", "k": "false", "m": "false",
	}, []byte("by hand")))
}

// storedIn is stored over the queues of a topic made by topic.
func (s *stand) storedIn(topic string) int {
	s.Helper()
	sum := 0
	for q := range 4 {
		sum += s.stored(topic, q)
	}
	return sum
}

// committed is a group's offset in a queue; -1 when it has none.
func (s *stand) committed(group, topic string, queue int) int {
	s.Helper()
	a := s.ask(s.server.broker, codeQueryOffset, map[string]string{"consumerGroup": group, "topic": topic, "queueId": strconv.Itoa(queue)})
	if a.Code == 22 { // QUERY_NOT_FOUND
		return -1
	}
	return s.offsetOf(a)
}

func (s *stand) offset(code int, ext map[string]string) int {
	s.Helper()
	return s.offsetOf(s.ask(s.server.broker, code, ext))
}

func (s *stand) offsetOf(a answer) int {
	s.Helper()
	n, err := strconv.Atoi(a.Ext["offset"])
	if a.Code != answerOK || err != nil {
		s.Fatalf("ask for an offset: %d %s %v", a.Code, a.Remark, a.Ext)
	}
	return n
}
