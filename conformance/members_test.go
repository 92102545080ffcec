package conformance_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

const (
	membersCase  = "members come, go and are killed"
	membersAbout = "4 consumer processes of a group, in order too: every acknowledged message is handled, keys keep their order, less than 1 % is repeated while nobody is killed"
	// membersFor is how long members come and go, 10 s unless it is set: half of it
	// without a kill.
	membersFor = "ROCKETKIT_MEMBERS"
	// membersSeed repeats the choices of a run.
	membersSeed = "ROCKETKIT_MEMBERS_SEED"

	mostMembers   = 4
	membersQueues = 8
	membersKeys   = 24
)

// TestMembersComeGoAndAreKilled has processes join a group, leave it and die under load.
func TestMembersComeGoAndAreKilled(t *testing.T) {
	t.Parallel()
	length, seed := 10*time.Second, rand.Uint64()
	if text := os.Getenv(membersFor); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil || length <= 0 {
			t.Fatalf("%s=%q is no duration", membersFor, text)
		}
	}
	if text := os.Getenv(membersSeed); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", membersSeed, err)
		}
	}
	t.Logf("%s=%d", membersSeed, seed)
	results.track(t, killTable, "broker-lite", membersCase)
	for i, mode := range []string{"concurrent", "ordered"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			log := logFrom(t, 100)
			s := &stand{T: t, leg: legNamed("broker-lite"), c: testCase{name: "members"}, server: startLite(t, log, false), log: log}
			newCrowd(s, mode == "ordered", rand.New(rand.NewPCG(seed, uint64(i)))).run(length)
		})
	}
}

// crowd is a group whose members are processes.
type crowd struct {
	*stand
	topic, group string
	ordered      bool
	random       *rand.Rand
	told         *os.File // where all members write to
	stderr       *os.File
	members      []*process
	started      int
	room         chan struct{} // bounds what is sent and not handled

	mu    sync.Mutex // guards the following
	story *crowdStory
}

// process is a member.
type process struct {
	*exec.Cmd
	no    int
	stdin io.WriteCloser
	ended func() error // waits
}

func newCrowd(s *stand, ordered bool, random *rand.Rand) *crowd {
	s.Helper()
	c := &crowd{stand: s, topic: s.topicOf(membersQueues), group: s.group(), ordered: ordered, random: random, room: make(chan struct{}, 2000)}
	var err error
	if c.stderr, err = os.Create(filepath.Join(s.TempDir(), "stderr")); err != nil {
		s.Fatal(err)
	}
	// One pipe: what members write, a line at a time, has one order.
	out, in, err := os.Pipe()
	if err != nil {
		s.Fatal(err)
	}
	c.told = in
	c.story = newCrowdStory(ordered)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			c.mu.Lock()
			first := c.story.tell(lines.Text())
			c.mu.Unlock()
			if first {
				<-c.room
			}
		}
	}()
	s.Cleanup(func() { // whatever happened
		for _, m := range c.members {
			m.Process.Kill() // an error: it has ended
			m.ended()
		}
		in.Close()
		<-read
		out.Close()
		c.stderr.Close()
		if log, err := os.ReadFile(c.stderr.Name()); s.Failed() {
			s.Logf("the members' logs (%v):\n%s", err, log)
		}
	})
	return c
}

func (c *crowd) run(length time.Duration) {
	c.Helper()
	finish := c.load()
	clean := c.churn("without a kill", length/2, false)
	if share := clean.share(); clean.handled < 1000 || share >= 0.01 {
		c.Errorf("%.2f %% of %d messages were repeated though nobody was killed, want less than 1 %% of 1000 and more", share*100, clean.handled)
	}
	c.churn("with kills", length/2, true)
	sent := finish()
	for len(c.members) < 2 {
		c.join()
	}
	c.eventually("every message is handled", func() bool { return c.count().distinct == sent })
	for len(c.members) > 0 {
		c.leave()
	}
	for q := range membersQueues {
		if stored, committed := c.stored(c.topic, q), c.committed(c.group, c.topic, q); committed != stored {
			c.Errorf("queue %d: all have left, and the group is at %d of %d", q, committed, stored)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, wrong := range c.story.wrong {
		c.Error(wrong)
	}
}

// load sends the messages of each key one after the other, until finish is called,
// which returns how many there are.
func (c *crowd) load() (finish func() int) {
	c.Helper()
	p := c.producer(c.open(), producer.RateLimit(1500))
	ctx, stop := context.WithCancel(c.Context())
	var all sync.WaitGroup
	counts := make([]int, membersKeys)
	for k := range counts {
		all.Go(func() {
			for ; ; counts[k]++ {
				select {
				case c.room <- struct{}{}:
				case <-ctx.Done():
					return
				}
				m := message.New(c.topic, fmt.Append(nil, counts[k]), message.ShardingKey(strconv.Itoa(k)))
				if _, err := p.Send(context.WithoutCancel(ctx), m); err != nil {
					c.Errorf("send: %v", err)
					return
				}
			}
		})
	}
	c.Cleanup(func() { stop(); all.Wait() })
	return func() (n int) {
		stop()
		all.Wait()
		for _, count := range counts {
			n += count
		}
		return n
	}
}

// churn lets members join and leave, or die, for that long and until there was some
// of each.
func (c *crowd) churn(what string, length time.Duration, kills bool) crowdCount {
	c.Helper()
	begun, from := time.Now(), c.count()
	var joined, left, killed int
	for time.Since(begun) < length || left < 3 || kills && killed < 3 || c.count().handled-from.handled < 1000 {
		switch n := len(c.members); {
		case n == 0, n < mostMembers && c.random.IntN(2) == 0:
			c.join()
			joined++
		case kills && c.random.IntN(2) == 0:
			c.kill()
			killed++
		case n > 1:
			c.leave()
			left++
		}
		if len(c.members) > 0 {
			next := c.count().handled + 1 + c.random.IntN(300)
			if !kills { // who joins takes queues from handlers that run
				next += 300
			}
			c.eventually(what+", messages go on", func() bool { return c.count().handled >= next })
		}
	}
	sum := c.count()
	sum.handled -= from.handled
	sum.repeated -= from.repeated
	c.Logf("%s: %d joined, %d left, %d were killed; %d messages handled, %d (%.2f %%) of them again", what, joined, left, killed, sum.handled, sum.repeated, sum.share()*100)
	return sum
}

func (c *crowd) count() crowdCount {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.story.crowdCount
}

func (c *crowd) join() {
	c.Helper()
	c.started++
	who, err := json.Marshal(memberTask{No: c.started, NameServers: c.server.nameServers, Topic: c.topic, Group: c.group, Ordered: c.ordered})
	if err != nil {
		c.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		c.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), memberEnv+"="+string(who))
	cmd.Stdout, cmd.Stderr = c.told, c.stderr
	stdin, err := cmd.StdinPipe() // it ends with this process, and the member with it
	if err != nil {
		c.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.Fatal(err)
	}
	c.members = append(c.members, &process{Cmd: cmd, no: c.started, stdin: stdin, ended: sync.OnceValue(cmd.Wait)})
}

// leave has any member drain, and waits for it.
func (c *crowd) leave() {
	c.Helper()
	i := c.random.IntN(len(c.members))
	m := c.members[i]
	if _, err := io.WriteString(m.stdin, memberLeave+"\n"); err != nil {
		c.Fatalf("member %d has ended: %v", m.no, err)
	}
	done := make(chan struct{})
	go func() { m.ended(); close(done) }()
	c.wait(done, fmt.Sprintf("member %d leaves", m.no))
	if err := m.ended(); err != nil {
		c.Errorf("member %d left with %v", m.no, err)
	}
	c.members = slices.Delete(c.members, i, i+1)
}

// kill ends any member at once. Its locks would be in the way for a minute: they are
// taken back, as nobody but the killer may.
func (c *crowd) kill() {
	c.Helper()
	i := c.random.IntN(len(c.members))
	m := c.members[i]
	id := c.clientID(m.Process.Pid)
	if err := m.Process.Kill(); err != nil {
		c.Fatal(err)
	}
	if err := m.ended(); err == nil {
		c.Errorf("member %d had ended", m.no)
	}
	if _, err := fmt.Fprintf(c.told, "%d killed\n", m.no); err != nil { // behind all that it wrote
		c.Fatal(err)
	}
	c.members = slices.Delete(c.members, i, i+1)
	if c.ordered && id != "" {
		c.unlock(id)
	}
}

// clientID is what the broker knows a process by, "" as long as it does not.
func (c *crowd) clientID(pid int) string {
	c.Helper()
	a := c.ask(c.server.broker, 38, map[string]string{"consumerGroup": c.group})
	var list struct {
		IDs []string `json:"consumerIdList"`
	}
	if a.Code != answerOK {
		return "" // the group has no member
	}
	if err := json.Unmarshal(a.body, &list); err != nil {
		c.Fatalf("members: %v in %q", err, a.body)
	}
	for _, id := range list.IDs {
		if strings.Contains(id, fmt.Sprintf("@%d#", pid)) {
			return id
		}
	}
	return ""
}

// unlock gives a dead client's locks back (code 42).
func (c *crowd) unlock(id string) {
	c.Helper()
	_, rest, _ := strings.Cut(string(c.ask(c.server.nameServers[0], codeRoute, map[string]string{"topic": c.topic}).body), `"brokerName":"`)
	broker, _, _ := strings.Cut(rest, `"`)
	var queues []map[string]any
	for q := range membersQueues {
		queues = append(queues, map[string]any{"topic": c.topic, "brokerName": broker, "queueId": q})
	}
	body, err := json.Marshal(map[string]any{"consumerGroup": c.group, "clientId": id, "mqSet": queues})
	if err != nil {
		c.Fatal(err)
	}
	conn := c.dial(c.server.broker)
	defer conn.Close()
	if a := c.askOn(conn, frame(42, nil, body)); a.Code != answerOK {
		c.Fatalf("unlock the queues of %s: %d %s", id, a.Code, a.Remark)
	}
}
