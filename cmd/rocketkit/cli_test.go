package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/message"
)

// patient bounds every wait for something that takes an instant.
const patient = 30 * time.Second

// cli runs commands in this process.
type cli struct {
	t          *testing.T
	nameServer string
}

// withServer starts a server for a test's commands.
func withServer(t *testing.T, opts ...brokerlite.Option) (cli, *brokerlite.Broker) {
	t.Helper()
	b, err := brokerlite.Start(t.Context(), append(opts, brokerlite.InMemory())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return cli{t, b.NameServer()}, b
}

// outcome is what a command printed and how it ended.
type outcome struct {
	out, notes string
	err        error
}

// buffer may be read while it is written to.
type buffer struct {
	mu sync.Mutex // guards the following
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// runWith runs a command with an input, until ctx ends.
func (c cli) runWith(ctx context.Context, in io.Reader, out, notes io.Writer, args ...string) error {
	root := newRoot()
	root.SetArgs(append(args, "-n", c.nameServer))
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(notes)
	return root.ExecuteContext(ctx)
}

// run runs a command to its end.
func (c cli) run(args ...string) outcome {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patient)
	defer cancel()
	var out, notes buffer
	err := c.runWith(ctx, strings.NewReader(""), &out, &notes, args...)
	return outcome{out.String(), notes.String(), err}
}

// must runs a command that has to succeed, and returns what it printed.
func (c cli) must(args ...string) string {
	c.t.Helper()
	o := c.run(args...)
	if o.err != nil {
		c.t.Fatalf("rocketkit %q: %v\n%s%s", args, o.err, o.out, o.notes)
	}
	return o.out
}

var sendResult = regexp.MustCompile(`^SendResult \[sendStatus=SEND_OK, msgId=(\w{32}), offsetMsgId=\w{32}, messageQueue=MessageQueue \[topic=(\S+), brokerName=broker-a, queueId=\d+\], queueOffset=\d+\]$`)

// ids are those in the result lines; every line must be one.
func ids(t *testing.T, out string) []string {
	t.Helper()
	var found []string
	for line := range strings.Lines(out) {
		m := sendResult.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			t.Fatalf("%q is no result", line)
		}
		found = append(found, m[1])
	}
	return found
}

// received reads the lines of "consume --json".
func received(t *testing.T, out string) map[string]view {
	t.Helper()
	vs := map[string]view{}
	for line := range strings.Lines(out) {
		var v view
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		vs[v.MsgID] = v
	}
	return vs
}

func TestWhatIsSentIsConsumed(t *testing.T) {
	t.Parallel()
	c, _ := withServer(t)
	sent := ids(t, c.must("send", "-t", "orders", "--body", "hello", "--tag", "paid", "--key", "1", "--key", "2", "--property", "region=eu", "--property", "eq=a=b"))
	got := received(t, c.must("consume", "-t", "orders", "-g", "look", "--from", "first", "--max", "1", "--json"))[sent[0]]
	if *got.Body != "hello" || got.Tags != "paid" || !slices.Equal(got.Keys, []string{"1", "2"}) || got.Properties["region"] != "eu" || got.Properties["eq"] != "a=b" || got.Topic != "orders" || got.Broker != "broker-a" {
		t.Errorf("%+v", got)
	}
	line := c.must("consume", "-t", "orders", "-g", "look2", "--from", "first", "--max", "1")
	if want := fmt.Sprintf(` queue=broker-a:%d offset=0 msgId=%s tags=paid keys=1,2 reconsumeTimes=0 msg="hello"`+"\n", got.QueueID, sent[0]); !strings.HasSuffix(line, want) || strings.Count(line, "\n") != 1 {
		t.Errorf("%q, want %q at the end", line, want)
	}
}

func TestBodiesComeFromFilesAndLines(t *testing.T) {
	t.Parallel()
	c, _ := withServer(t)
	file := filepath.Join(t.TempDir(), "body")
	binary := "\xff\x00 two\nlines\n"
	if err := os.WriteFile(file, []byte(binary), 0o600); err != nil {
		t.Fatal(err)
	}
	sent := ids(t, c.must("send", "-t", "files", "-f", file))
	got := received(t, c.must("consume", "-t", "files", "-g", "g", "--from", "first", "--max", "1", "--json"))[sent[0]]
	if got.Body != nil || got.BodyBase64 != "/wAgdHdvCmxpbmVzCg==" {
		t.Errorf("%+v", got)
	}
	if line := c.must("consume", "-t", "files", "-g", "g2", "--from", "first", "--max", "1"); !strings.HasSuffix(line, `msg="\xff\x00 two\nlines\n"`+"\n") {
		t.Errorf("%q is not one line", line)
	}

	for _, how := range []string{"sync", "async"} {
		args := []string{"send", "-t", how}
		if how == "async" {
			args = append(args, "--async")
		}
		var out, notes buffer
		if err := c.runWith(t.Context(), strings.NewReader("one\r\n\n two \nthree"), &out, &notes, args...); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(notes.String(), "line 2 is empty and left out") || !strings.Contains(notes.String(), "sent 3 in ") {
			t.Errorf("notes %q", notes.String())
		}
		bodies := []string{}
		for _, v := range received(t, c.must("consume", "-t", how, "-g", "g", "--from", "first", "--max", "3", "--json")) {
			bodies = append(bodies, *v.Body)
		}
		slices.Sort(bodies)
		if diff := cmp.Diff([]string{" two ", "one", "three"}, bodies); diff != "" || len(ids(t, out.String())) != 3 {
			t.Errorf("%s: (-want +got):\n%s%s", how, diff, out.String())
		}
	}
}

func TestManyMessagesAreSentWithProgress(t *testing.T) {
	t.Parallel()
	c, _ := withServer(t)
	for _, args := range [][]string{nil, {"--async"}} {
		o := c.run(append([]string{"send", "-t", "many", "--body", "x", "--count", "500"}, args...)...)
		if o.err != nil || len(ids(t, o.out)) != 500 || !regexp.MustCompile(`^sent 500 of 500 in \S+s, \d+/s\n$`).MatchString(o.notes) {
			t.Errorf("%v: %q, %d results, %v", args, o.notes, len(ids(t, o.out)), o.err)
		}
	}
	if out := c.must("topic", "status", "many"); !strings.Contains(out, "Messages: 1000") {
		t.Error(out)
	}
	// A long one says how far it is.
	cmd := newSend()
	var out, notes buffer
	cmd.SetOut(&out)
	cmd.SetErr(&notes)
	r := newResults(cmd, 3, time.Nanosecond)
	for range 2 {
		r.add(message.SendResult{})
	}
	if err := r.end(context.Canceled); err == nil || err.Error() != "interrupted; sent 2" {
		t.Error(err)
	}
	if got := regexp.MustCompile(`sent \d of 3`).FindAllString(notes.String(), -1); !slices.Equal(got, []string{"sent 1 of 3", "sent 2 of 3", "sent 2 of 3"}) {
		t.Errorf("%q", notes.String())
	}
}

func TestDelayedMessagesComeLater(t *testing.T) {
	t.Parallel()
	clock := brokerlite.NewManualClock(time.Now())
	c, _ := withServer(t, brokerlite.WithClock(clock))
	for _, d := range []string{"3", "10s", "12s"} { // a level, a time that is one, and one by the timer
		c.must("send", "-t", "later", "--body", d, "--delay", d)
	}
	clock.Advance(10 * time.Second)
	first := received(t, c.must("consume", "-t", "later", "-g", "g", "--from", "first", "--max", "2", "--json"))
	if o := c.run("consume", "-t", "later", "-g", "g", "--from", "first", "--max", "1", "--timeout", "1s"); o.err == nil || !strings.Contains(o.err.Error(), "received 0 of 1 messages; no more came for 1s") {
		t.Errorf("%+v", o)
	}
	clock.Advance(2 * time.Second)
	second := received(t, c.must("consume", "-t", "later", "-g", "g", "--from", "first", "--max", "1", "--json"))
	var bodies []string
	for _, vs := range []map[string]view{first, second} {
		for _, v := range vs {
			bodies = append(bodies, *v.Body)
		}
	}
	slices.Sort(bodies[:2])
	if diff := cmp.Diff([]string{"10s", "3", "12s"}, bodies); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What is printed is acknowledged, and nothing else: a group that is looked at in
// portions shows every message once.
func TestAGroupGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	c, _ := withServer(t)
	sent := ids(t, c.must("send", "-t", "orders", "--body", "x", "--count", "20"))
	seen := map[string]int{}
	for range 4 {
		for id, v := range received(t, c.must("consume", "-t", "orders", "-g", "g", "--from", "first", "--max", "5", "--json")) {
			seen[id]++
			if v.ReconsumeTimes != 0 {
				t.Errorf("%+v was retried", v)
			}
		}
	}
	for _, id := range sent {
		if seen[id] != 1 {
			t.Errorf("%s was printed %d times", id, seen[id])
		}
	}
	if out := c.must("consume", "-t", "orders", "-g", "g", "--from", "first", "--timeout", "500ms"); out != "" {
		t.Errorf("there was more: %s", out)
	}
}

func TestConsumeFiltersByTag(t *testing.T) {
	t.Parallel()
	c, _ := withServer(t)
	for _, tag := range []string{"paid", "refunded", "closed"} {
		c.must("send", "-t", "orders", "--body", tag, "--tag", tag)
	}
	var got []string
	for _, v := range received(t, c.must("consume", "-t", "orders", "-g", "g", "--from", "first", "--tag", "paid || closed", "--json", "--timeout", "1s")) {
		got = append(got, v.Tags)
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"closed", "paid"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestConsumeWaitsForItsTopicAndEndsOnCtrlC(t *testing.T) {
	t.Parallel()
	c, _ := withServer(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var notes buffer
	lines, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- c.runWith(ctx, strings.NewReader(""), w, &notes, "consume", "-t", "orders", "-g", "g")
		_ = w.Close()
	}()
	c.must("topic", "list")
	c.must("send", "-t", "orders", "--body", "first")
	b := make([]byte, 4096)
	n, err := lines.Read(b)
	if err != nil || !strings.Contains(string(b[:n]), `msg="first"`) {
		t.Fatalf("%q, %v", b[:n], err)
	}
	begun := time.Now()
	stop()
	if err := <-ended; err != nil || time.Since(begun) > 3*time.Second {
		t.Errorf("ended after %v: %v", time.Since(begun), err)
	}
}

// refusing is an output that fails, as that of a pipe does whose reader has gone.
type refusing struct{}

var errRefusing = errors.New("broken pipe")

func (refusing) Write([]byte) (int, error) { return 0, errRefusing }

func TestWhatCannotBePrintedIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	c, _ := withServer(t)
	c.must("send", "-t", "orders", "--body", "x")
	if err := c.runWith(t.Context(), strings.NewReader(""), refusing{}, io.Discard, "consume", "-t", "orders", "-g", "g", "--from", "first"); !errors.Is(err, errRefusing) {
		t.Errorf("consume: %v", err)
	}
	if out := c.must("consume", "-t", "orders", "-g", "g", "--from", "first", "--max", "1"); !strings.Contains(out, "reconsumeTimes=0") {
		t.Error(out)
	}
	if err := c.runWith(t.Context(), strings.NewReader(""), refusing{}, io.Discard, "send", "-t", "orders", "--body", "x"); !errors.Is(err, errRefusing) {
		t.Errorf("send: %v", err)
	}
}

func TestTopicsAreMadeAndShown(t *testing.T) {
	t.Parallel()
	c, b := withServer(t)
	addr := b.Addr()
	want := "create topic to " + addr + " success.\nTopicConfig [topicName=orders, readQueueNums=8, writeQueueNums=8, perm=RW-, topicFilterType=SINGLE_TAG, topicSysFlag=0, order=false, attributes={}]\n"
	if diff := cmp.Diff(want, c.must("topic", "create", "orders")); diff != "" {
		t.Errorf("create (-want +got):\n%s", diff)
	}
	c.must("topic", "create", "-t", "small", "-b", addr, "-r", "3", "-w", "2", "-p", "4")
	c.must("topic", "create", "small2", "-c", "DefaultCluster", "-r", "1", "-w", "1")
	list := strings.Split(c.must("topic", "list"), "\n")
	for _, topic := range []string{"orders", "small", "small2", "TBW102"} {
		if !slices.Contains(list, topic) {
			t.Errorf("%s is not in %q", topic, list)
		}
	}
	if !slices.IsSorted(list[:len(list)-1]) {
		t.Errorf("%q is not sorted", list)
	}
	pad := strings.Repeat(" ", len(addr)+4-len("#BrokerAddrs"))
	want = "#ClusterName    #BrokerName  #BrokerAddrs" + pad + "  #ReadQueue  #WriteQueue  #Perm\n" +
		"DefaultCluster  broker-a     {0=" + addr + "}  3           2            4\n"
	got, _, _ := strings.Cut(c.must("topic", "route", "small"), "Total:")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("route (-want +got):\n%s", diff)
	}
	var route struct {
		BrokerDatas []struct{ BrokerAddrs map[string]string }
		QueueDatas  []struct{ ReadQueueNums int }
	}
	if err := json.Unmarshal([]byte(c.must("topic", "route", "-t", "small", "--json")), &route); err != nil || route.BrokerDatas[0].BrokerAddrs["0"] != addr || route.QueueDatas[0].ReadQueueNums != 3 {
		t.Errorf("%+v, %v", route, err)
	}
	c.must("send", "-t", "small2", "--body", "x", "--count", "3")
	status := c.must("topic", "status", "small2")
	if !regexp.MustCompile(`^#Broker Name  #QID  #Min Offset  #Max Offset  #Last Updated\nbroker-a      0     0            3            \d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\n\nMessages: 3\nTopic Put TPS: \d+\.\d\n$`).MatchString(status) {
		t.Errorf("status:\n%s", status)
	}
}

// The second broker is in the cluster of the first.
func TestTopicsAreMadeOnOneBrokerOrOnAll(t *testing.T) {
	t.Parallel()
	c, b := withServer(t)
	_, second := withServer(t, brokerlite.WithRole(brokerlite.RoleBroker), brokerlite.NameServers(b.NameServer()), brokerlite.Name("broker-b", "DefaultCluster"))
	brokers := func(topic string) []string {
		t.Helper()
		var route struct {
			QueueDatas []struct{ BrokerName string }
		}
		if err := json.Unmarshal([]byte(c.must("topic", "route", "-t", topic, "--json")), &route); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, q := range route.QueueDatas {
			names = append(names, q.BrokerName)
		}
		slices.Sort(names)
		return names
	}
	c.must("topic", "create", "everywhere", "-c", "DefaultCluster")
	if got := brokers("everywhere"); !slices.Equal(got, []string{"broker-a", "broker-b"}) {
		t.Errorf("with -c the topic is on %q", got)
	}
	c.must("topic", "create", "there", "-b", second.Addr())
	if got := brokers("there"); !slices.Equal(got, []string{"broker-b"}) {
		t.Errorf("with -b the topic is on %q", got)
	}
	c.must("send", "-t", "everywhere", "--body", "x", "--count", "16")
	if status := c.must("topic", "status", "everywhere"); strings.Count(status, "broker-a") != 8 || strings.Count(status, "broker-b") != 8 || !strings.Contains(status, "Messages: 16") {
		t.Errorf("status:\n%s", status)
	}
}

// website is the address of a server that answers whatever it is asked in HTTP.
func website(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 1024))
			_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
	return l.Addr().String()
}

func TestNoAnswerIsExplained(t *testing.T) {
	t.Parallel()
	late := fmt.Errorf("%w: %w", message.ErrNoNameServer, context.DeadlineExceeded)
	if err := new(connection).explain(late); !errors.Is(err, context.DeadlineExceeded) || !strings.HasSuffix(err.Error(), "is it a name server that listens there?") {
		t.Error(err)
	}
	other := errors.New("other")
	if err := new(connection).explain(other); err != other { //nolint:errorlint // as it is
		t.Error(err)
	}
}

func TestMistakesAreSaidInOneLineWithTheWayOut(t *testing.T) {
	t.Parallel()
	strict, _ := withServer(t, brokerlite.AutoCreateTopics(false))
	old, _ := withServer(t, brokerlite.Conf("timerWheelEnable=false"))
	lost, away := withServer(t, brokerlite.Conf("brokerIP1=127.0.0.2")) // it listens on 127.0.0.1
	site := website(t)
	for name, tc := range map[string]struct {
		c    cli
		args []string
		says []string
	}{
		"no topic":           {strict, []string{"send", "--body", "x"}, []string{"want -t <topic>", `see "rocketkit send --help"`}},
		"a topic's name":     {strict, []string{"send", "-t", "a b", "--body", "x"}, []string{`"a b" has ' ' at byte 1`}},
		"missing topic":      {strict, []string{"send", "-t", "none", "--body", "x"}, []string{"No route info of this topic", strict.nameServer, "rocketkit topic create none"}},
		"route of none":      {strict, []string{"topic", "route", "none"}, []string{"No route info of this topic", "rocketkit topic create none"}},
		"status of none":     {strict, []string{"topic", "status", "none"}, []string{"No route info of this topic", "rocketkit topic create none"}},
		"no body":            {strict, []string{"send", "-t", "a", "--body", ""}, []string{"--body is empty"}},
		"two bodies":         {strict, []string{"send", "-t", "a", "--body", "x", "-f", "y"}, []string{"want one of them"}},
		"no file":            {strict, []string{"send", "-t", "a", "-f", "/nowhere"}, []string{"/nowhere"}},
		"count of lines":     {strict, []string{"send", "-t", "a", "--count", "2"}, []string{"--count needs --body or -f"}},
		"count":              {strict, []string{"send", "-t", "a", "--body", "x", "--count", "0"}, []string{"--count 0: want 1 or more"}},
		"tag":                {strict, []string{"send", "-t", "a", "--body", "x", "--tag", "a|b"}, []string{`tag "a|b"`}},
		"key":                {strict, []string{"send", "-t", "a", "--body", "x", "--key", "a b"}, []string{`key "a b"`}},
		"property":           {strict, []string{"send", "-t", "a", "--body", "x", "--property", "region"}, []string{`"region": want name=value`}},
		"RocketMQ's own":     {strict, []string{"send", "-t", "a", "--body", "x", "--property", "DELAY=1"}, []string{`"DELAY" is RocketMQ's own`}},
		"delay level":        {strict, []string{"send", "-t", "a", "--body", "x", "--delay", "19"}, []string{"level from 1 to 18"}},
		"delay":              {strict, []string{"send", "-t", "a", "--body", "x", "--delay", "-5s"}, []string{"--delay -5s: want a time"}},
		"no timer":           {old, []string{"send", "-t", "a", "--body", "x", "--delay", "7s"}, []string{"not supported", "timerWheelEnable"}},
		"producer group":     {strict, []string{"send", "-t", "a", "--body", "x", "-g", "a b"}, []string{"invalid group"}},
		"no group":           {strict, []string{"consume", "-t", "a"}, []string{"want -g <group>"}},
		"consumer group":     {strict, []string{"consume", "-t", "a", "-g", "a b"}, []string{`"a b"`}},
		"from":               {strict, []string{"consume", "-t", "a", "-g", "g", "--from", "middle"}, []string{"want first or last"}},
		"max":                {strict, []string{"consume", "-t", "a", "-g", "g", "--max", "-1"}, []string{"--max -1"}},
		"timeout":            {strict, []string{"consume", "-t", "a", "-g", "g", "--timeout", "-1s"}, []string{"--timeout -1s"}},
		"time without unit":  {strict, []string{"consume", "-t", "a", "-g", "g", "--timeout", "1"}, []string{"missing unit", `see "rocketkit consume --help"`}},
		"perm":               {strict, []string{"topic", "create", "a", "-p", "7"}, []string{"--perm 7: want 2 (write), 4 (read) or 6 (both)"}},
		"queues":             {strict, []string{"topic", "create", "a", "-r", "0"}, []string{"--read-queues 0"}},
		"write queues":       {strict, []string{"topic", "create", "a", "-w", "70000"}, []string{"--write-queues 70000"}},
		"cluster":            {strict, []string{"topic", "create", "a", "-c", "none"}, []string{`no cluster "none"; there is DefaultCluster`}},
		"cluster and broker": {strict, []string{"topic", "create", "a", "-c", "x", "-b", "y"}, []string{"want one of them"}},
		"broker":             {strict, []string{"topic", "create", "a", "-b", "127.0.0.1:1"}, []string{"connect to 127.0.0.1:1 refused"}},
		"a system topic":     {strict, []string{"topic", "create", "TBW102"}, []string{"TBW102"}},
		"two topics":         {strict, []string{"topic", "route", "a", "-t", "b"}, []string{`"a" and "b"`}},
		"a second argument":  {strict, []string{"topic", "status", "a", "b"}, []string{`unexpected argument "b"`, `see "rocketkit topic status --help"`}},
		"an argument":        {strict, []string{"send", "orders"}, []string{`unexpected argument "orders"`, `see "rocketkit send --help"`}},
		"unknown command":    {strict, []string{"sned"}, []string{`unknown command "sned" for "rocketkit"; did you mean send?`, `see "rocketkit --help"`}},
		"topic's subcommand": {strict, []string{"topic", "crate", "a"}, []string{`unknown command "crate" for "rocketkit topic"; did you mean create?`, `see "rocketkit topic --help"`}},
		"no number":          {strict, []string{"send", "-t", "a", "--body", "x", "--count", "many"}, []string{`invalid argument "many" for "--count" flag: want a whole number`, `see "rocketkit send --help"`}},
		"broker's address":   {strict, []string{"topic", "create", "a", "-b", "nowhere"}, []string{`--broker "nowhere": want host:port, such as 127.0.0.1:10911`}},
		"broker's host":      {strict, []string{"topic", "create", "a", "-b", "nowhere.invalid:1"}, []string{"connect to the server: no host is found by the name nowhere.invalid"}},
		"not the broker":     {strict, []string{"topic", "create", "a", "-b", strict.nameServer}, []string{"REQUEST_CODE_NOT_SUPPORTED (3) from " + strict.nameServer, "is it a broker's address where a name server's belongs"}},
		"not a name server":  {cli{t, away.Addr()}, []string{"topic", "list"}, []string{"connect to 127.0.0.2:"}},
		"advertised: create": {lost, []string{"topic", "create", "a"}, []string{"broker broker-a advertises " + away.Addr(), "set brokerIP1"}},
		"advertised: status": {lost, []string{"topic", "status", "TBW102"}, []string{"broker broker-a advertises " + away.Addr(), "set brokerIP1"}},
		"advertised: group":  {lost, []string{"consume", "-t", "TBW102", "-g", "g"}, []string{"broker broker-a advertises " + away.Addr(), "set brokerIP1"}},
		"a web server":       {cli{t, site}, []string{"topic", "list"}, []string{site, "is it a RocketMQ server that listens there?"}},
		"unknown flag":       {strict, []string{"topic", "route", "a", "--foo"}, []string{"unknown flag: --foo", `see "rocketkit topic route --help"`}},
		"no server":          {cli{t, "127.0.0.1:1"}, []string{"send", "-t", "a", "--body", "x"}, []string{"connect to 127.0.0.1:1 refused: is the server running? start one with: rocketkit server"}},
		"none to consume":    {cli{t, "127.0.0.1:1;127.0.0.1:2"}, []string{"consume", "-t", "a", "-g", "g"}, []string{"connect to 127.0.0.1:1;127.0.0.1:2 refused: is the server running? start one with: rocketkit server"}},
		"none to ask":        {cli{t, "127.0.0.1:1"}, []string{"topic", "list"}, []string{"connect to 127.0.0.1:1 refused: is the server running? start one with: rocketkit server"}},
		"no address":         {cli{t, "nowhere"}, []string{"topic", "list"}, []string{`name server "nowhere": want host:port`}},
		"no host":            {cli{t, "nowhere.invalid:1"}, []string{"topic", "list"}, []string{"no host is found by the name nowhere.invalid"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := tc.c.run(tc.args...)
			if o.err == nil {
				t.Fatalf("it succeeded: %s", o.out)
			}
			for _, want := range tc.says {
				if !strings.Contains(o.err.Error(), want) {
					t.Errorf("%q is missing in: %v", want, o.err)
				}
			}
			if o.out != "" || o.notes != "" {
				t.Errorf("it printed %q and %q too", o.out, o.notes)
			}
		})
	}
}

func TestTheFirstFailureEndsASending(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"--async"}} {
		c, b := withServer(t)
		c.must("topic", "create", "orders")
		passed := 0
		b.Intercept(func(q brokerlite.Request) (brokerlite.Reaction, bool) {
			if q.Code != 310 {
				return brokerlite.Reaction{}, false
			}
			passed++ // all by one connection's reader
			return brokerlite.Answer(13, "no more"), passed > 5
		})
		o := c.run(append([]string{"send", "-t", "orders", "--body", "x", "--count", "100000"}, args...)...)
		if o.err == nil || !strings.Contains(o.err.Error(), "MESSAGE_ILLEGAL") || !strings.Contains(o.err.Error(), "no more") || len(ids(t, o.out)) != 5 || !strings.Contains(o.notes, "sent 5 of 100000") {
			t.Errorf("%v: %v, %q", args, o.err, o.notes)
		}
	}
}

func TestCtrlCInterruptsASending(t *testing.T) {
	t.Parallel()
	c, _ := withServer(t)
	for _, args := range [][]string{nil, {"--async"}} {
		ctx, stop := context.WithCancel(t.Context())
		in, w := io.Pipe()
		out, outW := io.Pipe()
		ended := make(chan error, 1)
		var notes buffer
		go func() {
			ended <- c.runWith(ctx, in, outW, &notes, append([]string{"send", "-t", "orders"}, args...)...)
		}()
		if _, err := fmt.Fprintln(w, "first"); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 4096)); err != nil { // its result comes before the next line
			t.Fatal(err)
		}
		stop()
		if err := <-ended; err == nil || err.Error() != "interrupted; sent 1" {
			t.Errorf("%v: %v", args, err)
		}
		_ = w.Close() // lets go of who reads
	}
}
