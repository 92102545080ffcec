package brokerlite

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

func TestMessagesSurviveARestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "by", "start")
	first := start(t, Dir(dir))
	c := dial(t, first)
	c.createTopic("orders", 2)
	c.send(sending("orders"), "kept")
	c.send(sending("made-by-a-message"), "kept too")
	c.pull(pulling("orders", 0, "*"))
	c.ok(protocol.UpdateConsumerOffset, &protocol.ConsumerOffsetRequest{Code: protocol.UpdateConsumerOffset, ConsumerGroup: "consumers", Topic: "orders", CommitOffset: 1}, nil)
	stop(t, first)

	second := start(t, Dir(dir))
	c = dial(t, second)
	for topic, want := range map[string]string{"orders": "kept", "made-by-a-message": "kept too"} {
		if diff := cmp.Diff([]string{want}, bodies(c.messages(topic, 0))); diff != "" {
			t.Error(diff)
		}
		if route(t, second, topic) == nil {
			t.Errorf("no route of %s", topic)
		}
	}
	resp := c.ok(protocol.QueryConsumerOffset, &protocol.ConsumerOffsetRequest{Code: protocol.QueryConsumerOffset, ConsumerGroup: "consumers", Topic: "orders"}, nil)
	if resp.Fields.Value("offset") != "1" {
		t.Errorf("offset %v", resp.Fields)
	}
	if second.Dir() != dir {
		t.Errorf("directory %s", second.Dir())
	}
}

// TestATopicThatWasNotSavedIsMadeAnew kills a server before it has written its
// topics. The store may have nothing else of one than what is delivered later.
func TestATopicThatWasNotSavedIsMadeAnew(t *testing.T) {
	t.Parallel()
	for name, props := range map[string][]string{
		"plain": nil, "delayed": {"DELAY", "3"}, "timer": {"TIMER_DELAY_MS", "5000"},
		"half": {"TRAN_MSG", "true", "PGROUP", "producers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				disk := vfs.NewMem()
				lost := vfs.NewFaulty(disk, vfs.Hooks{Before: vfs.FailNth(vfs.OpRename, "topics.json", 2, errors.New("killed"))})
				b := start(t, withFiles(lost), VirtualNetwork(NewNetwork()))
				synctest.Wait()
				c := dial(t, b)
				var sent []protocol.SendResponse
				for queue := range int32(3) { // the last first
					h := sending("orders", props...)
					if h.QueueID = 2 - queue; name == "half" {
						h.SysFlag = protocol.SysPrepared
					}
					sent = append(sent, c.send(h, "acknowledged"))
				}
				killed := disk.Clone()
				b = start(t, withFiles(killed), VirtualNetwork(NewNetwork()))
				c = dial(t, b)
				if name == "half" {
					c.heartbeat("me", "producers", "")
					for _, r := range sent {
						c.ok(protocol.EndTransaction, ending(t, r, protocol.SysCommit), nil)
					}
				}
				time.Sleep(time.Minute)
				for queue := range int32(3) {
					if diff := cmp.Diff([]string{"acknowledged"}, bodies(c.messages("orders", queue))); diff != "" {
						t.Errorf("queue %d: %s", queue, diff)
					}
				}
			})
		})
	}
}

// TestATopicThatIsDeletedStaysAway though a message that was delayed comes for it.
func TestATopicThatIsDeletedStaysAway(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		c.createTopic("orders", 1)
		c.send(sending("orders", "DELAY", "3"), "x")
		c.ok(protocol.DeleteTopicInBroker, &protocol.TopicRequest{Topic: "orders"}, nil)
		time.Sleep(time.Minute)
		if resp := c.call(protocol.PullMessage, pulling("orders", 0, "*"), nil); resp.Code != protocol.TopicNotExist {
			t.Errorf("code %d", resp.Code)
		}
	})
}

func TestATemporaryDirectoryIsRemoved(t *testing.T) {
	t.Parallel()
	b := start(t)
	c := dial(t, b)
	c.send(sending("orders"), "x")
	if _, err := os.Stat(filepath.Join(b.Dir(), "commitlog")); err != nil {
		t.Error(err)
	}
	stop(t, b)
	if _, err := os.Stat(b.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is there still: %v", b.Dir(), err)
	}
}

func TestOneProcessOwnsADirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start(t, Dir(dir))
	_, err := Start(t.Context(), Dir(dir))
	if !errors.Is(err, vfs.ErrLocked) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "does another server use that directory? stop it, or choose another") {
		t.Errorf("%v", err)
	}
	_, err = Start(t.Context(), Dir(t.TempDir()), Conf("storePathCommitLog="+filepath.Join(dir, "commitlog")))
	if !errors.Is(err, vfs.ErrLocked) || !strings.Contains(err.Error(), "storePathCommitLog") {
		t.Errorf("the commit log alone: %v", err)
	}
}

func TestAPortThatIsTakenIsNamed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := portOf(l)
	for what, opt := range map[string]Option{"name server": NameServerPort(port), "broker": BrokerPort(port)} {
		_, err := Start(t.Context(), InMemory(), opt)
		if !errors.Is(err, ErrPortInUse) || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), fmt.Sprint(port)) || !strings.Contains(err.Error(), "-port") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAllMistakesAreReportedTogether(t *testing.T) {
	t.Parallel()
	_, err := Start(t.Context(), InMemory(), Dir("x"), NameServerPort(70000), BrokerPort(-1), WithRole("nothing"), NameServers("nowhere"),
		TransactionChecks(-1, 0), Conf("autoCreateTopicEnabel=true\nflushDiskType=MAYBE\nbrokerRole=SLAVE"), ConfFile("/does/not/exist"))
	if err == nil {
		t.Fatal("started")
	}
	for _, want := range []string{
		"both a directory (x) and in memory", "name server port 70000", "broker port -1", `role "nothing"`, `name server "nowhere"`,
		"transaction checks", `did you mean "autoCreateTopicEnable"?`, "flushDiskType=MAYBE: want", "cannot be a slave", "/does/not/exist",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing about %q in:\n%v", want, err)
		}
	}
	if _, err := Start(t.Context(), WithRole(RoleBroker)); err == nil || !strings.Contains(err.Error(), "needs the address of a name server") {
		t.Errorf("%v", err)
	}
}

func TestADirectoryThatCannotBeWrittenIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Dir(filepath.Join(file, "store"))); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("%v", err)
	}
}

func TestWarningsOfBrokerConfAreLogged(t *testing.T) {
	t.Parallel()
	var l logs
	start(t, InMemory(), WithLogger(l.logger()), Conf("transientStorePoolEnable=true\nbrokerId=3"))
	for _, want := range []string{"transientStorePoolEnable has no effect", "brokerId=3: a master's id is 0"} {
		if !strings.Contains(l.String(), want) {
			t.Errorf("nothing about %q in:\n%s", want, l.String())
		}
	}
}

func TestServersCanRunApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		names := start(t, WithRole(RoleNameServer), VirtualNetwork(n))
		second := start(t, WithRole(RoleNameServer), VirtualNetwork(n))
		b := start(t, InMemory(), WithRole(RoleBroker), VirtualNetwork(n), NameServers(names.NameServer()+";"+second.NameServer()))
		if names.Addr() != "" || b.NameServer() != "" || len(b.NameServers()) != 2 {
			t.Errorf("%q %q %q", names.Addr(), b.NameServer(), b.NameServers())
		}
		for _, ns := range []*Broker{names, second} {
			if route(t, ns, "TBW102") == nil {
				t.Errorf("%s does not know the broker", ns.NameServer())
			}
		}
		stop(t, b)
		for _, ns := range []*Broker{names, second} {
			if route(t, ns, "TBW102") != nil {
				t.Errorf("%s knows the broker that has left", ns.NameServer())
			}
		}
	})
}

func TestABrokerStartsBeforeItsNameServers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		var l logs
		begun := time.Now()
		start(t, InMemory(), WithRole(RoleBroker), VirtualNetwork(n), NameServers("127.0.0.1:9876"), WithLogger(l.logger()))
		if d := time.Since(begun); d != 0 || !strings.Contains(l.String(), "not registered with a name server") {
			t.Errorf("after %v, and it logged: %s", d, l.String())
		}
		silent, err := n.Listen("127.0.0.1:9877") // takes connections and never answers
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		begun = time.Now()
		start(t, InMemory(), WithRole(RoleBroker), VirtualNetwork(n), NameServers("127.0.0.1:9877"), WithLogger(l.logger()))
		if d := time.Since(begun); d != registerPatience || !strings.Contains(l.String(), "no name server has answered") {
			t.Errorf("after %v, and it logged: %s", d, l.String())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Start(ctx, InMemory(), WithRole(RoleBroker), VirtualNetwork(n), NameServers("127.0.0.1:9877")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a start that its ctx ends: %v", err)
		}
	})
}

func TestSeveralBrokersShareANameServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		one := start(t, InMemory(), VirtualNetwork(n), Name("b1", cluster))
		two := start(t, InMemory(), VirtualNetwork(n), Name("b2", cluster), WithRole(RoleBroker), NameServers(one.NameServer()))
		for _, b := range []*Broker{one, two} {
			dial(t, b).createTopic("orders", 2)
		}
		if r := route(t, one, "orders"); len(r.BrokerDatas) != 2 || len(r.QueueDatas) != 2 {
			t.Errorf("%+v", r)
		}
	})
}

func TestAStartThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := NewNetwork()
		boom := errors.New("boom")
		for nth := 1; ; nth++ {
			var failed atomic.Bool
			fail := vfs.FailNth(vfs.OpOpen, "", nth, boom)
			fs := vfs.NewFaulty(vfs.NewMem(), vfs.Hooks{Before: func(c vfs.Call) vfs.Fault {
				f := fail(c)
				if f.Err != nil {
					failed.Store(true)
				}
				return f
			}})
			b, err := Start(t.Context(), withFiles(fs), VirtualNetwork(n), NameServerPort(9876))
			if err == nil {
				err = b.Close(t.Context()) // a file that is written later may have failed
			}
			if !failed.Load() {
				if err != nil {
					t.Fatal(err)
				}
				break // so many files are not opened
			}
			if err != nil && !errors.Is(err, boom) {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Start(ctx, InMemory(), VirtualNetwork(n), NameServerPort(9876)); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestCloseEndsEverythingAndCanBeRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, InMemory(), VirtualNetwork(NewNetwork()))
		c := dial(t, b)
		c.heartbeat("me", "producers", "consumers", subscription(t, "orders", "*"))
		c.createTopic("orders", 1)
		go func() {
			_, err := c.try(context.Background(), protocol.PullMessage, suspending("orders", 0, "*", time.Minute), nil)
			if !errors.Is(err, remoting.ErrClosed) {
				t.Errorf("a parked pull: %v", err)
			}
		}()
		c.half("orders", "x")
		c.send(sending("orders", "DELAY", "18"), "x")
		c.send(sending("orders", "TIMER_DELAY_SEC", "99"), "x")
		begun := time.Now()
		for range 2 {
			stop(t, b)
		}
		if d := time.Since(begun); d > time.Second {
			t.Errorf("closing took %v", d)
		}
		if _, err := b.Dial(t.Context(), "tcp", b.Addr()); err == nil {
			t.Error("it listens still")
		}
	})
}

// TestABrokerStartsInMilliseconds allows much, for slow machines; the benchmark
// tells the truth.
func TestABrokerStartsInMilliseconds(t *testing.T) {
	t.Parallel()
	best := time.Hour
	for range 5 {
		begun := time.Now()
		b := start(t)
		best = min(best, time.Since(begun))
		stop(t, b)
	}
	if best > 100*time.Millisecond {
		t.Errorf("it takes %v", best)
	}
}

// BenchmarkStart starts and stops a broker with a temporary directory.
func BenchmarkStart(b *testing.B) {
	var ready time.Duration
	for b.Loop() {
		begun := time.Now()
		s, err := Start(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		ready += time.Since(begun)
		if err := s.Close(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(ready.Microseconds())/float64(b.N), "µs/ready")
}

func TestBootLinesAreApaches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := start(t, InMemory(), VirtualNetwork(NewNetwork()), NameServerPort(9876), BrokerPort(10911), Conf("namesrvAddr=10.0.0.1:9876"),
			NameServers("localhost:9876;127.0.0.1:9999;127.0.0.1:9876")) // its own is named once
		want := []string{
			"The Name Server boot success. serializeType=JSON, address 127.0.0.1:9876",
			"The broker[broker-a, 127.0.0.1:10911] boot success. serializeType=JSON and name server is 127.0.0.1:9876;127.0.0.1:9999",
		}
		if diff := cmp.Diff(want, b.BootLines()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTheConfigurationIsPrintedAsBrokerConf(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	if err := PrintConfig(&text, Standalone("/home/me", "host"), Conf("maxMessageSize=5")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"brokerName=host\n", "listenPort=10911\n", "storePathRootDir=/home/me/store\n", "maxMessageSize=5\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in:\n%s", want, text.String())
		}
	}
	var again strings.Builder
	if err := PrintConfig(&again, Standalone("", ""), Conf(text.String())); err != nil || again.String() != text.String() {
		t.Errorf("read again: %v\n%s", err, cmp.Diff(text.String(), again.String()))
	}
	if dir, err := DirOf(Standalone("/home/me", "")); err != nil || dir != "/home/me/store" {
		t.Errorf("%s, %v", dir, err)
	}
	var l logs
	if err := PrintConfig(&again, Conf("authenticationEnabled=true"), WithLogger(l.logger())); err != nil || !strings.Contains(l.String(), "authenticationEnabled has no effect") {
		t.Errorf("%v, and it warned: %s", err, l.String())
	}
	if err := PrintConfig(&text, Conf("x=y")); err == nil {
		t.Error("a mistake is printed")
	}
}

func TestTheServerTellsItsTopics(t *testing.T) {
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		before := b.Topics()
		c.createTopic("orders", 1)
		after := b.Topics()
		if slices.Contains(before, "orders") || !slices.Contains(after, "orders") || !slices.Contains(after, "TBW102") {
			t.Errorf("%q, then %q", before, after)
		}
		names := start(t, WithRole(RoleNameServer), VirtualNetwork(NewNetwork()))
		if got := names.Topics(); got != nil {
			t.Errorf("a name server has %q", got)
		}
	})
}
