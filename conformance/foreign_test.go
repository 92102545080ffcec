package conformance_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/conformance/apache"
	"github.com/rocketkit/rocketkit/conformance/peers"
	"github.com/rocketkit/rocketkit/message"
)

// foreignServer is a broker-lite with its defaults, but for how soon it asks about
// half messages.
func foreignServer(t *testing.T) *brokerlite.Broker {
	t.Helper()
	b, err := brokerlite.Start(t.Context(), brokerlite.WithLogger(newLog(t)), brokerlite.TransactionChecks(time.Second, time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closeLite(b); err != nil {
			t.Error(err)
		}
	})
	return b
}

// report notes a foreign client's results, and fails for the failed ones and for
// cases that did not run.
func report(t *testing.T, table, column string, want []string, got []apache.CaseResult) {
	t.Helper()
	ran := map[string]bool{}
	for _, r := range got {
		ran[r.Name] = true
		switch r.Outcome {
		case apache.Pass:
			results.note(table, column, r.Name, passed)
		case apache.Skip:
			results.note(table, column, r.Name, notApplicable+r.Why)
		case apache.Fail:
			results.note(table, column, r.Name, failed)
			t.Errorf("%s: %s", r.Name, r.Why)
		}
	}
	for _, name := range want {
		if !ran[name] {
			t.Errorf("%s did not run", name)
		}
	}
}

func TestJavaClient(t *testing.T) {
	apache.Require(t)
	names, err := javaCases()
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{apache.V5, apache.V4} {
		for _, binary := range []bool{false, true} {
			column := version + ", JSON"
			if binary {
				column = version + ", binary"
			}
			t.Run(strings.ReplaceAll(column, ", ", "_"), func(t *testing.T) {
				t.Parallel()
				b := foreignServer(t)
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
				defer cancel()
				begun := time.Now()
				// It behaves as 5.4.0 does, also to the older client.
				got, err := apache.Peer(ctx, apache.PeerOptions{Client: version, Server: apache.V5, NameServer: b.NameServer(), Binary: binary, TransactionWait: 30 * time.Second})
				if err != nil {
					t.Fatal(err)
				}
				report(t, javaTable, column, names, got)
				t.Logf("%d cases in %s", len(got), time.Since(begun).Round(time.Millisecond))
			})
		}
	}
}

// The same cases on the server that they are about: each is known to be right.
func TestJavaClientOnApache(t *testing.T) {
	apache.Require(t)
	names, err := javaCases()
	if err != nil {
		t.Fatal(err)
	}
	server := startApacheWith(t, apache.Options{
		TransactionCheck: time.Second, // as foreignServer
		BrokerConf:       map[string]string{"enablePropertyFilter": "true"},
	})
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	got, err := apache.Peer(ctx, apache.PeerOptions{Client: apache.V5, Server: apache.V5, NameServer: server.NameServer(), TransactionWait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	report(t, javaTable, javaOnApache, names, got)
}

func TestClientGo(t *testing.T) {
	apache.Require(t) // it does not need Java, but minutes
	names, err := clientGoCases()
	if err != nil {
		t.Fatal(err)
	}
	b := foreignServer(t)
	for i, version := range peers.ClientGoVersions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			defer cancel()
			begun := time.Now()
			got, err := peers.ClientGo(ctx, version, b.NameServer(), fmt.Sprintf("p%d", i))
			if err != nil {
				t.Fatal(err)
			}
			report(t, clientGoTable, version, names, got)
			t.Logf("%d cases in %s", len(got), time.Since(begun).Round(time.Millisecond))
		})
	}
}

// adminCase is one command of mqadmin.
type adminCase struct {
	name, about string
	args        func(s *stand, topic string) []string
	check       func(s *stand, topic, version, out string)
}

// says checks that the output matches each pattern, where $ns and $broker are the
// addresses and blanks may be any.
func (s *stand) says(out, topic string, patterns ...string) {
	s.Helper()
	for _, p := range patterns {
		q := strings.NewReplacer("$broker", regexp.QuoteMeta(s.server.broker), "$topic", regexp.QuoteMeta(topic), " ", `\s+`).Replace(p)
		if !regexp.MustCompile(`(?m)` + q).MatchString(out) {
			s.Errorf("the output does not match %q:\n%s", p, out)
			return
		}
	}
}

// statusKeys are what 5.4.0 tells of itself; those of 4.9.7 are among them but for
// two, one of which it spells otherwise (getTransferedTps).
const statusKeys = `EndTransactionQueueSize EndTransactionThreadPoolQueueCapacity ackThreadPoolQueueCapacity
ackThreadPoolQueueHeadWaitTimeMills ackThreadPoolQueueSize bootTimestamp brokerActive brokerVersionDesc
commitLogDirCapacity commitLogDiskRatio commitLogMaxOffset commitLogMinOffset consumeQueueDiskRatio dispatchBehindBytes
dispatchMaxBuffer earliestMessageTimeStamp getFoundTps getMessageEntireTimeMax getMissTps getTotalTps getTransferredTps
litePullThreadPoolQueueCapacity litePullThreadPoolQueueHeadWaitTimeMills litePullThreadPoolQueueSize
msgGetTotalTodayMorning msgGetTotalTodayNow msgGetTotalYesterdayMorning msgPutTotalTodayMorning msgPutTotalTodayNow
msgPutTotalYesterdayMorning pageCacheLockTimeMills pullThreadPoolQueueCapacity pullThreadPoolQueueHeadWaitTimeMills
pullThreadPoolQueueSize putLatency99 putLatency999 putMessageAverageSize putMessageDistributeTime
putMessageEntireTimeMax putMessageFailedTimes putMessageSizeTotal putMessageTimesTotal putTps
queryThreadPoolQueueCapacity queryThreadPoolQueueHeadWaitTimeMills queryThreadPoolQueueSize remainHowManyDataToFlush
remainTransientStoreBufferNumbs runtime sendThreadPoolQueueCapacity sendThreadPoolQueueHeadWaitTimeMills
sendThreadPoolQueueSize startAcceptSendRequestTimeStamp timerCongestNum timerDequeueTps timerEnqueueTps
timerOffsetBehind timerReadBehind`

func adminCases() []adminCase {
	made := func(s *stand, topic, _, out string) {
		s.says(out, topic, `^create topic to $broker success\.`, `TopicConfig \[topicName=$topic, readQueueNums=8, writeQueueNums=8, perm=RW-, topicFilterType=SINGLE_TAG, topicSysFlag=0, order=false`)
		for q := range 8 {
			if n := s.stored(topic, q); n != 0 {
				s.Errorf("queue %d holds %d messages", q, n)
			}
		}
		s.send(s.producer(s.open(), always(7)), message.New(topic, []byte("b")))
	}
	return []adminCase{
		{"updateTopic -c", "makes a topic in a cluster, with 8 read and 8 write queues, that works",
			func(_ *stand, topic string) []string {
				return []string{"updateTopic", "-c", "DefaultCluster", "-t", topic}
			}, made},
		{"updateTopic -b", "the same on one broker",
			func(s *stand, topic string) []string {
				return []string{"updateTopic", "-b", s.server.broker, "-t", topic}
			}, made},
		{"topicRoute", "the broker, its address and the queues",
			func(s *stand, topic string) []string {
				s.createTopic(topic, 4)
				return []string{"topicRoute", "-t", topic}
			},
			func(s *stand, topic, version, out string) {
				s.says(out, topic, `"brokerAddrs":\s*\{\s*0:"$broker"\s*\}`, `"brokerName":"broker-a"`, `"cluster":"DefaultCluster"`,
					`"queueDatas":\[ \{ "brokerName":"broker-a", "perm":6, "readQueueNums":4, "topicSysFlag":0, "writeQueueNums":4 \} \]`)
				if version == apache.V5 {
					s.says(out, topic, `"enableActingMaster":false`)
				}
			}},
		{"topicStatus", "offsets of every queue, and when it last got a message",
			func(s *stand, topic string) []string {
				s.createTopic(topic, 4)
				p := s.producer(s.open(), always(2))
				s.sendAll(p, topic, "1", "2", "3")
				return []string{"topicStatus", "-t", topic}
			},
			func(s *stand, topic, _, out string) {
				s.says(out, topic, `^#Broker Name #QID #Min Offset #Max Offset #Last Updated`, `^broker-a 0 0 0\s*$`, `^broker-a 1 0 0\s*$`,
					`^broker-a 2 0 3 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d,\d\d\d`, `^broker-a 3 0 0\s*$`)
			}},
		{"clusterList", "the broker with its version",
			func(*stand, string) []string { return []string{"clusterList"} },
			func(s *stand, topic, _, out string) {
				s.says(out, topic, `^#Cluster Name #Broker Name #BID #Addr #Version`, `^DefaultCluster broker-a 0 $broker V5_4_0 \d+\.\d\d\(0,0ms\)`)
			}},
		{"brokerStatus", "every figure that 5.4.0 gives, and right ones",
			func(s *stand, topic string) []string {
				s.createTopic(topic, 4)
				s.sendAll(s.producer(s.open()), topic, "counted")
				return []string{"brokerStatus", "-b", s.server.broker}
			},
			func(s *stand, topic, _, out string) {
				for key := range strings.FieldsSeq(statusKeys) {
					s.says(out, topic, `^`+key+`\s*:`)
				}
				s.says(out, topic, `^brokerActive : true`, `^brokerVersionDesc : V5_4_0`, `^runtime : \[ 0 days, 0 hours, \d+ minutes, \d+ seconds \]`,
					`^putMessageTimesTotal\s*: [1-9]\d*`, `^commitLogMaxOffset\s*: [1-9]\d*`, `^commitLogDirCapacity\s*: Total : [1-9][\d.]+ \w+, Free : [1-9][\d.]+ \w+\.`)
			}},
	}
}

func TestMQAdmin(t *testing.T) {
	apache.Require(t)
	leg := legNamed("broker-lite")
	for _, version := range []string{apache.V5, apache.V4} {
		t.Run(version, func(t *testing.T) {
			b := foreignServer(t)
			for _, c := range adminCases() {
				t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
					t.Parallel()
					results.track(t, mqadminTable, version, c.name)
					s := &stand{T: t, leg: leg, c: testCase{name: strings.ReplaceAll(c.name, " ", "_")}, server: &server{}, log: newLog(t)}
					s.server.use(b)
					topic := s.newTopic()
					args := append(c.args(s, topic), "-n", b.NameServer())
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					out, err := apache.Admin(ctx, version, args...)
					if err != nil {
						t.Fatal(err)
					}
					c.check(s, topic, version, out)
				})
			}
		})
	}
}
