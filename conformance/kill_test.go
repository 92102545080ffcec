package conformance_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

const (
	killCase  = "kill -9 under load"
	killAbout = "what was acknowledged before is there afterwards and reaches its group, every queue entry is the record that it says, sends go on"
	// killRounds sets how often the server is killed: 3 unless it is set.
	killRounds = "ROCKETKIT_KILL_ROUNDS"
)

// TestAKilledServerKeepsWhatItAcknowledged kills a server under load, again and
// again. The first is flushed in the background, the next by each batch, and so on.
func TestAKilledServerKeepsWhatItAcknowledged(t *testing.T) {
	t.Parallel()
	rounds := 3
	if text := os.Getenv(killRounds); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil || rounds < 1 {
			t.Fatalf("%s=%q is no number of rounds", killRounds, text)
		}
	}
	results.track(t, killTable, "broker-lite", killCase)
	binary := filepath.Join(t.TempDir(), "rocketkit")
	if out, err := exec.Command("go", "build", "-o", binary, "../cmd/rocketkit").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	k := &killed{t: t, binary: binary, dir: t.TempDir(), acked: map[string]bool{}, seen: map[string]bool{}}
	for round := range rounds {
		flush := []string{"ASYNC_FLUSH", "SYNC_FLUSH"}[round%2]
		s := k.start(flush)
		if round == 0 {
			s.createTopic(k.topic(), 4)
		} else {
			k.check(s)
		}
		before := len(k.acked)
		took := k.loadAndKill(s)
		t.Logf("round %d, %s: killed after %s with %d messages acknowledged, %d in all", round+1, flush, took.Round(time.Millisecond), len(k.acked)-before, len(k.acked))
	}
	s := k.start("ASYNC_FLUSH")
	k.check(s)
	k.readRest(s)
	if err := s.process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.ended(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

// killed is what the rounds have in common.
type killed struct {
	t           *testing.T
	binary, dir string

	mu    sync.Mutex      // guards the following
	acked map[string]bool // ids that a send returned
	seen  map[string]bool // ids that the group has handled
}

func (*killed) topic() string { return "killed" }

// standalone is a running rocketkit server.
type standalone struct {
	*stand
	process *os.Process
	ended   func() error // waits
}

var bootLine = regexp.MustCompile(`^The Name Server boot success\..* address \S+:(\d+)|^The broker\[.*, (\S+:\d+)\] boot success`)

// start runs the server on the directory and waits until it is ready.
func (k *killed) start(flush string) *standalone {
	k.t.Helper()
	conf := filepath.Join(k.dir, "broker.conf")
	// Small files, so that it is killed at their ends too.
	text := "brokerIP1=127.0.0.1\nbindAddress=127.0.0.1\nmappedFileSizeCommitLog=8388608\nmappedFileSizeConsumeQueue=20000\nflushDiskType=" + flush + "\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
	cmd := exec.CommandContext(k.t.Context(), k.binary, "server", "-c", conf, "--data-dir", filepath.Join(k.dir, "store"), "--namesrv-port", "0", "--broker-port", "0")
	var stderr strings.Builder
	cmd.Stderr = &stderr // read when it has ended
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		k.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	ended := sync.OnceValue(cmd.Wait)
	k.t.Cleanup(func() {
		cmd.Process.Kill() // unless it has ended
		ended()
		if k.t.Failed() {
			k.t.Logf("the server's log:\n%s", &stderr)
		}
	})
	s := &server{dial: new(net.Dialer).DialContext}
	for lines := bufio.NewScanner(stdout); s.broker == "" || s.nameServers == nil; {
		if !lines.Scan() {
			ended()
			k.t.Fatalf("the server did not start:\n%s", &stderr)
		}
		if m := bootLine.FindStringSubmatch(lines.Text()); m != nil && m[1] != "" {
			s.nameServers = []string{"127.0.0.1:" + m[1]}
		} else if m != nil {
			s.broker = m[2]
		}
	}
	st := &stand{T: k.t, leg: legNamed("broker-lite"), c: testCase{name: "kill"}, server: s, log: logFrom(k.t, 100)}
	st.eventually("the topic is known", func() bool {
		a := st.ask(s.nameServers[0], codeRoute, map[string]string{"topic": k.topic()})
		return a.Code == answerOK || len(k.acked) == 0
	})
	return &standalone{stand: st, process: cmd.Process, ended: ended}
}

// client is one of the server that will be killed: it may end with an error.
func (k *killed) client(s *standalone) *rocketkit.Client {
	k.t.Helper()
	c, err := rocketkit.Open(k.t.Context(), rocketkit.Config{NameServers: s.server.nameServers}, rocketkit.WithLogger(s.log))
	if err != nil {
		k.t.Fatal(err)
	}
	return c
}

// loadAndKill sends and receives until the server is killed, at any moment.
func (k *killed) loadAndKill(s *standalone) time.Duration {
	k.t.Helper()
	c := k.client(s)
	p, err := c.NewProducer("killers", producer.SendTimeout(2*time.Second), producer.MaxInFlight(16))
	if err != nil {
		k.t.Fatal(err)
	}
	k.read(s, c)
	ctx, cancel := context.WithCancel(k.t.Context())
	defer cancel()
	var all sync.WaitGroup
	count := make(chan struct{}, 100)
	acked := func(r message.SendResult, err error) {
		if err != nil {
			return // its outcome is unknown: it may be there
		}
		k.mu.Lock()
		k.acked[r.MessageID] = true
		k.mu.Unlock()
		select {
		case count <- struct{}{}:
		default:
		}
	}
	body := []byte(strings.Repeat("x", rand.IntN(2000)))
	for range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				acked(p.Send(ctx, message.New(k.topic(), body)))
			}
		})
	}
	all.Go(func() {
		for ctx.Err() == nil {
			all.Add(1)
			p.SendAsync(ctx, message.New(k.topic(), body), func(_ context.Context, r message.SendResult, err error) {
				defer all.Done()
				acked(r, err)
			})
		}
	})
	begun, soon := time.Now(), s.soon()
	for n := range 100 {
		select {
		case <-count:
		case <-soon.Done():
			k.t.Fatalf("only %d messages are acknowledged in %s", n, s.limit())
		}
	}
	s.quiet(rand.N(1500 * time.Millisecond)) // the server flushes and keeps offsets every 500 ms
	if err := s.process.Kill(); err != nil {
		k.t.Fatal(err)
	}
	took := time.Since(begun)
	var exit *exec.ExitError
	if err := s.ended(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		k.t.Fatalf("it ended otherwise: %v", err)
	}
	cancel()
	all.Wait()
	k.close(c)
	return took
}

// close ends a client whose server may be dead.
func (k *killed) close(c *rocketkit.Client) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := c.Drain(ctx); errors.Is(err, context.DeadlineExceeded) {
		k.t.Errorf("close a client: %v", err)
	}
}

// read lets the group, which is the same in all rounds, go on.
func (k *killed) read(s *standalone, c *rocketkit.Client) {
	k.t.Helper()
	mux := s.mux("readers")
	consumer.HandleRaw(mux, k.topic(), func(_ context.Context, d *message.Delivery) error {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.seen[d.ID] = true
		return nil
	})
	s.start(c, mux)
}

// readRest waits until the group has had all that was acknowledged.
func (k *killed) readRest(s *standalone) {
	k.t.Helper()
	c := k.client(s)
	defer k.close(c)
	k.read(s, c)
	s.eventually("the group gets all", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		for id := range k.acked {
			if !k.seen[id] {
				return false
			}
		}
		return true
	})
}

// check reads every queue by hand: the entries are there without a gap, each is the
// record that it says, and what was acknowledged is among them.
func (k *killed) check(s *standalone) {
	k.t.Helper()
	stored := map[string]bool{}
	conn := s.dial(s.server.broker)
	defer conn.Close()
	for q := range 4 {
		end := s.stored(k.topic(), q)
		for at := 0; at < end; {
			records := s.pull(conn, k.topic(), q, at)
			for len(records) > 0 {
				r, err := readRecord(records)
				if err == nil && (r.topic != k.topic() || r.queue != q || r.offset != at) {
					err = fmt.Errorf("it is of topic %s, queue %d, offset %d", r.topic, r.queue, r.offset)
				}
				if err != nil {
					k.t.Fatalf("queue %d, offset %d: %v", q, at, err)
				}
				if stored[r.id] {
					k.t.Errorf("%s is stored twice", r.id)
				}
				stored[r.id] = true
				records = records[r.size:]
				at++
			}
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	lost := 0
	for id := range k.acked {
		if !stored[id] {
			lost++
		}
	}
	if lost > 0 {
		k.t.Fatalf("%d of %d acknowledged messages are lost", lost, len(k.acked))
	}
}

// pull asks for records (code 11), which must be there.
func (s *stand) pull(conn net.Conn, topic string, queue, offset int) []byte {
	s.Helper()
	a := s.askOn(conn, frame(11, map[string]string{
		"consumerGroup": "by_hand", "topic": topic, "queueId": strconv.Itoa(queue), "queueOffset": strconv.Itoa(offset), "maxMsgNums": "32",
		"sysFlag": "4", "commitOffset": "0", "suspendTimeoutMillis": "0", "subscription": "*", "subVersion": "0", "expressionType": "TAG",
	}, nil))
	if a.Code != answerOK || len(a.body) == 0 {
		s.Fatalf("pull of queue %d at %d: %d %s", queue, offset, a.Code, a.Remark)
	}
	return a.body
}

// record is what check needs of a record.
type record struct {
	size, queue, offset int
	topic, id           string
}

// readRecord reads the first record (MessageDecoder's version 1, hosts of 4 bytes).
func readRecord(b []byte) (r record, err error) {
	u32 := func(at int) int { return int(binary.BigEndian.Uint32(b[at:])) }
	const bodyAt = 84
	if len(b) < bodyAt+4 || u32(0) > len(b) || u32(0) < bodyAt+4 {
		return r, io.ErrUnexpectedEOF
	}
	r.size = u32(0)
	b = b[:r.size]
	n := u32(bodyAt)
	if bodyAt+4+n+1 > len(b) {
		return r, io.ErrUnexpectedEOF
	}
	body, rest := b[bodyAt+4:bodyAt+4+n], b[bodyAt+4+n:]
	if sum := int(crc32.ChecksumIEEE(body) & 0x7FFFFFFF); sum != u32(8) {
		return r, fmt.Errorf("checksum %x of the body, want %x", sum, u32(8))
	}
	r.queue, r.offset = u32(12), int(binary.BigEndian.Uint64(b[20:]))
	r.topic = string(rest[1:min(len(rest), 1+int(rest[0]))])
	_, id, _ := strings.Cut(string(rest), "UNIQ_KEY\x01")
	r.id, _, _ = strings.Cut(id, "\x02")
	return r, nil
}
