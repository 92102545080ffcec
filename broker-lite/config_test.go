package brokerlite

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// configOf asks the broker for its configuration.
func configOf(c *client) map[string]string {
	c.t.Helper()
	table := map[string]string{}
	for line := range strings.Lines(string(c.ok(protocol.GetBrokerConfig, nil, nil).Body)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || table[key] != "" {
			c.t.Errorf("the configuration has the line %q", line)
		}
		table[key] = value
	}
	return table
}

func TestTheConfigurationChangesAtRunTime(t *testing.T) {
	var log logs
	inBubble(t, func(t *testing.T, b *Broker, c *client) {
		update := func(text string) { t.Helper(); c.ok(protocol.UpdateBrokerConfig, nil, []byte(text)) }
		big := strings.Repeat("x", 2000)
		c.send(sending("orders"), big)
		update("maxMessageSize=1000\nmaxTransferCountOnMessageInMemory=2")
		if got := configOf(c)["maxMessageSize"]; got != "1000" {
			t.Errorf("the configuration says maxMessageSize=%s", got)
		}
		c.refused(protocol.SendMessageV2, sending("orders"), big, protocol.MessageIllegal, "1000")
		for range 4 {
			c.send(sending("orders"), "m")
		}
		if got := len(c.pull(pulling("orders", 0, "*")).records); got != 2 {
			t.Errorf("a pull brings %d messages", got)
		}

		update("autoCreateTopicEnable=false")
		c.refused(protocol.SendMessageV2, sending("unknown"), "m", protocol.TopicNotExist, "apply first please")
		update("autoCreateTopicEnable=true")
		c.send(sending("unknown"), "m")

		update("brokerPermission=4")
		if r := route(t, b, "orders"); r.QueueDatas[0].Perm != 4 {
			t.Errorf("the name server gives the permission %d", r.QueueDatas[0].Perm)
		}
		update("brokerPermission=2")
		if p := c.pull(pulling("orders", 0, "*")); p.code != protocol.NoPermission {
			t.Errorf("a pull is answered with %s", protocol.ResponseName(p.code))
		}
		update("brokerPermission=6")
		if r := route(t, b, "orders"); r.QueueDatas[0].Perm != 6 {
			t.Errorf("the name server gives the permission %d", r.QueueDatas[0].Perm)
		}

		update("longPollingEnable=false\nshortPollingTimeMills=5000\nrejectTransactionMessage=true\ntimerMaxDelaySec=10")
		h := pulling("orders", 5, "*")
		h.SysFlag |= protocol.PullSuspend
		h.SuspendTimeout = 60_000
		begun := time.Now()
		if p := c.pull(h); p.code != protocol.PullNotFound || time.Since(begun) != 5*time.Second {
			t.Errorf("a pull that finds nothing is answered with %s after %s", protocol.ResponseName(p.code), time.Since(begun))
		}
		c.refused(protocol.SendMessageV2, sending("orders", "TRAN_MSG", "true", "PGROUP", "producers"), "m", protocol.NoPermission, "transaction")
		c.refused(protocol.SendMessageV2, sending("orders", "TIMER_DELAY_SEC", "11"), "m", protocol.MessageIllegal, "10000")

		if log := log.String(); !strings.Contains(log, `msg="admin change" request=UPDATE_BROKER_CONFIG peer=127.0.0.1:`) || !strings.Contains(log, " maxMessageSize=1000 maxTransferCountOnMessageInMemory=2") {
			t.Errorf("the log does not tell of the change:\n%s", log)
		}
	}, WithLogger(log.logger()))
}

func TestKeysThatCannotChangeAreRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *Broker, c *client) {
		c.refused(protocol.UpdateBrokerConfig, nil, "maxMessageSize=1000\nflushDiskType=SYNC_FLUSH", protocol.SystemError, "flushDiskType needs a restart")
		c.refused(protocol.UpdateBrokerConfig, nil, "maxMessageSize=1000\nbrokerConfigPath=/tmp/x", protocol.NoPermission, "Can not update config in black list.")
		c.refused(protocol.UpdateBrokerConfig, nil, "sendMessageThreadPoolNums=1", protocol.SystemError, "only Apache RocketMQ has this key")
		if got := configOf(c)["maxMessageSize"]; got != "4194304" {
			t.Errorf("a change that was refused has left maxMessageSize=%s", got)
		}
	})
}

func TestAChangeIsKeptInTheFileThatTheBrokerWasStartedWith(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "broker.conf")
	if err := os.WriteFile(file, []byte("# mine\nbrokerName=b\nmaxMessageSize=2000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := start(t, InMemory(), ConfFile(file))
	c := dial(t, b)
	c.ok(protocol.UpdateBrokerConfig, nil, []byte("maxMessageSize=1000"))
	text, err := os.ReadFile(file)
	if err != nil || string(text) != "# mine\nbrokerName=b\nmaxMessageSize=1000\n" {
		t.Errorf("the file is %q (%v)", text, err)
	}
	stop(t, b)
	if got := configOf(dial(t, start(t, InMemory(), ConfFile(file))))["maxMessageSize"]; got != "1000" {
		t.Errorf("after a restart maxMessageSize=%s", got)
	}
}

func TestAChangeThatCannotBeKeptIsNotMade(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "broker.conf")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := dial(t, start(t, InMemory(), ConfFile(file)))
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	c.refused(protocol.UpdateBrokerConfig, nil, "maxMessageSize=1000", protocol.SystemError, "broker.conf")
	if got := configOf(c)["maxMessageSize"]; got != "4194304" {
		t.Errorf("maxMessageSize=%s", got)
	}
}

func TestABrokerIsNoSlave(t *testing.T) {
	t.Parallel()
	b, err := Start(t.Context(), InMemory(), Conf("brokerRole=SLAVE\nbrokerId=1"))
	if err == nil {
		stop(t, b)
	}
	if err == nil || !strings.Contains(err.Error(), "broker-lite does not replicate and cannot be a slave; set brokerRole=ASYNC_MASTER") {
		t.Errorf("the start ends with %v", err)
	}
}

func TestASyncMasterHasNoSlave(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *Broker, c *client) {
		resp := c.call(protocol.SendMessageV2, sending("orders"), []byte("m"))
		if resp.Code != protocol.SlaveNotAvailable || resp.Fields.Value("queueOffset") != "0" {
			t.Errorf("a send is answered with %s %v", protocol.ResponseName(resp.Code), resp.Fields)
		}
		if got := bodies(c.messages("orders", 0)); !slices.Equal(got, []string{"m"}) {
			t.Errorf("stored is %q", got)
		}
	}, Conf("brokerRole=SYNC_MASTER"))
}

// The defaults of a standalone server are Apache's (BrokerConfig, MessageStoreConfig),
// but for SQL92, which is on.
func TestStandaloneDefaults(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := portOf(l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b := start(t, Standalone(t.TempDir(), "host"), NameServerPort(0), BrokerPort(port), Conf("bindAddress=127.0.0.1\nbrokerIP1=127.0.0.1"))
	c := dial(t, b)
	config := configOf(c)
	for key, want := range map[string]string{
		"flushDiskType": "ASYNC_FLUSH", "brokerRole": "ASYNC_MASTER", "deleteWhen": "04", "fileReservedTime": "72", "maxMessageSize": "4194304",
		"brokerName": "host", "brokerClusterName": "DefaultCluster", "defaultTopicQueueNums": "8", "autoCreateTopicEnable": "true",
		"autoCreateSubscriptionGroup": "true", "brokerPermission": "6", "transactionTimeOut": "6000", "transactionCheckMax": "15",
		"mappedFileSizeCommitLog": "1073741824", "mappedFileSizeConsumeQueue": "6000000", "enablePropertyFilter": "true",
	} {
		if config[key] != want {
			t.Errorf("%s=%s, want %s", key, config[key], want)
		}
	}
	queues := func(topic string) int32 { return route(t, b, topic).QueueDatas[0].WriteQueueNums }
	for _, test := range []struct {
		topic        string
		client, want int32
	}{{"as-the-client-wants", 4, 4}, {"as-the-broker-allows", 16, 8}} {
		h := sending(test.topic)
		h.DefaultTopicQueueNums = test.client
		c.send(h, "m")
		c.createTopic(test.topic+"-announced", 8) // the name server hears of both
		if got := queues(test.topic); got != test.want {
			t.Errorf("a client that wants %d queues gets %d, want %d", test.client, got, test.want)
		}
	}
	if got := queues("as-the-client-wants-announced"); got != 8 {
		t.Errorf("made by hand: %d queues", got)
	}
	// Commit log files grow; Apache's have their size from the start.
	info, err := os.Stat(filepath.Join(b.Dir(), "commitlog", "00000000000000000000"))
	if err != nil || info.Size() == 0 || info.Size() > 1<<20 {
		t.Errorf("the commit log: %v, %v; want a file of a few messages", info, err)
	}
}

// An embedded server has smaller files.
func TestEmbeddedDefaults(t *testing.T) {
	t.Parallel()
	config := configOf(dial(t, start(t)))
	for key, want := range map[string]string{"mappedFileSizeCommitLog": "67108864", "mappedFileSizeConsumeQueue": "300000"} {
		if config[key] != want {
			t.Errorf("%s=%s, want %s", key, config[key], want)
		}
	}
}
