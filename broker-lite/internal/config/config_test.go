package config

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The broker.conf that Apache ships (distribution/conf/broker.conf), as a
// newcomer has it, with the keys that tutorials add.
const tutorialConf = `
# Licensed to ...
brokerClusterName = DefaultCluster
brokerName = broker-a
brokerId = 0
deleteWhen = 04
fileReservedTime = 48
brokerRole = ASYNC_MASTER
flushDiskType = SYNC_FLUSH
brokerIP1=81.70.10.20
namesrvAddr=localhost:9876;[::1]:9877
listenPort=10921
autoCreateTopicEnable=false
mapedFileSizeCommitLog=1048576000
mapedFileSizeConsumeQueue=300000
storePathRootDir=/data/store
sendMessageThreadPoolNums=128
messageDelayLevel=1s 5s 1m
transactionTimeOut=2000
timerMaxDelaySec=60
`

func TestATutorialsBrokerConfWorks(t *testing.T) {
	t.Parallel()
	c := Standalone("/home/u", "laptop")
	warnings, err := c.Read(tutorialConf)
	if err != nil {
		t.Fatal(err)
	}
	want := Standalone("/home/u", "laptop")
	want.BrokerName = "broker-a"
	want.FileReservedHours = 48
	want.SyncFlush = true
	want.BrokerIP1 = "81.70.10.20"
	want.NameServers = []string{"localhost:9876", "[::1]:9877"}
	want.ListenPort = 10921
	want.AutoCreateTopic = false
	want.CommitLogFileSize = 1048576000
	want.ConsumeQueueSize = 300000
	want.StorePath = "/data/store"
	want.MessageDelayLevel = "1s 5s 1m"
	want.TransactionTimeout = 2 * time.Second
	want.TimerMaxDelay = time.Minute
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := c.QueueFileEntries(); got != 15000 {
		t.Errorf("consume queue files of %d entries, want 15000", got)
	}
	wantWarnings := []string{
		"line 17: sendMessageThreadPoolNums has no effect: only Apache RocketMQ has it",
	}
	if diff := cmp.Diff(wantWarnings, warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if more, err := c.Validate(); err != nil || len(more) > 0 {
		t.Errorf("Validate: %q, %v", more, err)
	}
}

func TestDefaultsAreApaches(t *testing.T) {
	t.Parallel()
	c := Standalone("/home/u", "")
	var b strings.Builder
	if err := c.Print(&b); err != nil {
		t.Fatal(err)
	}
	// The fields of BrokerConfig, MessageStoreConfig and NettyServerConfig 5.4.0;
	// listenPort as BrokerStartup sets it, brokerName where there is no host name.
	for _, line := range []string{
		"brokerClusterName=DefaultCluster", "brokerName=DEFAULT_BROKER", "brokerId=0", "listenPort=10911", "bindAddress=0.0.0.0",
		"brokerRole=ASYNC_MASTER", "brokerPermission=6", "autoCreateTopicEnable=true", "autoCreateSubscriptionGroup=true",
		"defaultTopicQueueNums=8", "clusterTopicEnable=true", "brokerTopicEnable=true", "traceTopicEnable=false",
		"msgTraceTopicName=RMQ_SYS_TRACE_TOPIC", "storePathRootDir=/home/u/store", "mappedFileSizeCommitLog=1073741824",
		"mappedFileSizeConsumeQueue=6000000", "flushDiskType=ASYNC_FLUSH", "flushIntervalCommitLog=500", "syncFlushTimeout=5000",
		"maxMessageSize=4194304", "deleteWhen=04", "fileReservedTime=72", "diskSpaceCleanForciblyRatio=85",
		"cleanFileForciblyEnable=true", "cleanResourceInterval=10000",
		"messageDelayLevel=1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h", "timerWheelEnable=true",
		"timerMaxDelaySec=0", "enablePropertyFilter=true", "storeReplyMessageEnable=true", "rejectTransactionMessage=false", "transactionTimeOut=6000",
		"transactionCheckMax=15", "transactionCheckInterval=30000", "longPollingEnable=true", "shortPollingTimeMills=1000",
		"maxTransferBytesOnMessageInMemory=262144", "maxTransferCountOnMessageInMemory=32", "registerNameServerPeriod=30000",
		"registerBrokerTimeoutMills=24000", "channelExpiredTimeout=120000", "flushConsumerOffsetInterval=5000",
		"regionId=DefaultRegion", "traceOn=true",
	} {
		if !strings.Contains("\n"+b.String(), "\n"+line+"\n") {
			t.Errorf("the default is not %q", line)
		}
	}
}

func TestWhatPrintWritesReadsBack(t *testing.T) {
	t.Parallel()
	c := Embedded(`C:\Users\ü\store`)
	c.NameServers = []string{"10.0.0.1:9876", "[fe80::1]:9876"}
	c.RegionID = " leading blank"
	c.SyncFlush = true
	c.TimerMaxDelay = 7 * time.Second
	var b strings.Builder
	if err := c.Print(&b); err != nil {
		t.Fatal(err)
	}
	back := Standalone("/elsewhere", "other")
	if _, err := back.Read(b.String()); err != nil {
		t.Fatal(err)
	}
	c.RegionID = "leading blank" // Apache trims strings
	if diff := cmp.Diff(c, back); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAllMistakesAreReportedTogether(t *testing.T) {
	t.Parallel()
	c := Standalone("/home/u", "")
	_, err := c.Read(strings.Join([]string{
		"brokerClustername=x", "listenPort=109110", "autoCreateTopicEnable=yes", "flushDiskType=SYNC", "brokerRole=MASTER",
		"namesrvAddr=10.0.0.1", "syncFlushTimeout=5s", "messageDelayLevel=1s 5x", "brokerIp1=10.0.0.1", "deleteWhen=25",
		"transactionCheckMax=", "maxMessageSize=4MB", "mappedFileSizeCommitLog=4294967296", "zzz=1", `storePathRootDir=C:\users\u`, "defaultTopicQueueNums = 4 ",
	}, "\n"))
	if err == nil {
		t.Fatal("no error")
	}
	want := []string{
		`line 1: unknown key "brokerClustername", neither broker-lite nor Apache RocketMQ has it; did you mean "brokerClusterName"?`,
		`line 2: listenPort=109110: want a whole number, 0 to 65535`,
		`line 3: autoCreateTopicEnable=yes: want true or false`,
		`line 4: flushDiskType=SYNC: want ASYNC_FLUSH or SYNC_FLUSH`,
		`line 5: brokerRole=MASTER: want one of ASYNC_MASTER, SYNC_MASTER, SLAVE`,
		`line 6: namesrvAddr=10.0.0.1: want addresses as host:port separated by ";", such as 127.0.0.1:9876;192.168.0.1:9876`,
		`line 7: syncFlushTimeout=5s: want milliseconds as a whole number, 1 to 3600000`,
		`line 8: messageDelayLevel=1s 5x: want delays such as "1s 5s 1m 2h 1d", separated by spaces`,
		`line 9: unknown key "brokerIp1", neither broker-lite nor Apache RocketMQ has it; did you mean "brokerIP1"?`,
		`line 10: deleteWhen=25: want hours of the day, "04" or "04;16"`,
		`line 11: transactionCheckMax=: want a whole number, 1 to 1048576`,
		`line 12: maxMessageSize=4MB: want bytes as a whole number, 1 to 16711680`,
		`line 13: mappedFileSizeCommitLog=4294967296: want bytes as a whole number, 65536 to 2147483647`,
		`line 14: unknown key "zzz", neither broker-lite nor Apache RocketMQ has it; delete the line`,
	}
	got := strings.Split(err.Error(), "\n")
	if diff := cmp.Diff(want, got[:len(want)]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(got) != len(want)+1 || !strings.HasPrefix(got[len(want)], "line 15: ") {
		t.Errorf("the last errors are %q", got[len(want):])
	}
	if c.DefaultTopicQueueNums != 4 {
		t.Errorf("defaultTopicQueueNums is %d: white space around a value must not matter", c.DefaultTopicQueueNums)
	}
	var ke *KeyError
	if !errors.As(err, &ke) {
		t.Error("no *KeyError in the chain")
	}
}

func TestAKeySetTwiceIsSaid(t *testing.T) {
	t.Parallel()
	c := Standalone("/home/u", "")
	warnings, err := c.Read("mapedFileSizeCommitLog=70000000\nmappedFileSizeCommitLog=80000000\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"line 2: mappedFileSizeCommitLog is set again (before: mapedFileSizeCommitLog on line 1); the last one counts"}
	if diff := cmp.Diff(want, warnings); diff != "" || c.CommitLogFileSize != 80000000 {
		t.Errorf("size %d, warnings (-want +got):\n%s", c.CommitLogFileSize, diff)
	}
}

func TestEveryKnownKeyOfApacheIsAcceptedWithOneWarning(t *testing.T) {
	t.Parallel()
	names := strings.Fields(apacheKeys)
	if len(names) < 400 {
		t.Fatalf("only %d names", len(names))
	}
	c := Standalone("/home/u", "")
	warnings, err := c.Read(strings.Join(names, "=1\n") + "=1\n")
	if err != nil {
		t.Error(err)
	}
	if len(warnings) != len(names) {
		t.Errorf("%d warnings for %d keys", len(warnings), len(names))
	}
	for i, w := range warnings {
		if !strings.Contains(w, names[i]+" ") {
			t.Errorf("warning %q does not name %s", w, names[i])
		}
	}
	if diff := cmp.Diff(Standalone("/home/u", ""), c); diff != "" {
		t.Errorf("they changed something:\n%s", diff)
	}
	for _, k := range keys() {
		if onlyApache(k.name) || onlyApache(k.alias) {
			t.Errorf("%s is read and listed as Apache's only", k.name)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change  func(*Config)
		err     string // "" for none
		warning string
		after   func(Config) bool
	}{
		"as it is":          {},
		"slave":             {change: func(c *Config) { c.Role, c.BrokerID = RoleSlave, 1 }, err: "cannot be a slave; set brokerRole=ASYNC_MASTER"},
		"sync master":       {change: func(c *Config) { c.Role = RoleSyncMaster }, warning: "has no slaves"},
		"master with an id": {change: func(c *Config) { c.BrokerID = 2 }, warning: "brokerId=2", after: func(c Config) bool { return c.BrokerID == 0 }},
		"no cluster":        {change: func(c *Config) { c.ClusterName = "" }, err: "brokerClusterName=: want a name"},
		"no broker name":    {change: func(c *Config) { c.BrokerName = " " }, err: "brokerName= : want a name"},
		"no directory":      {change: func(c *Config) { c.StorePath = "" }, err: "storePathRootDir=: want a directory"},
		"bind to a name":    {change: func(c *Config) { c.BindAddress = "localhost" }, err: "bindAddress=localhost: want an IP address"},
		"port in brokerIP1": {change: func(c *Config) { c.BrokerIP1 = "10.0.0.1;10.0.0.2" }, err: "brokerIP1=10.0.0.1;10.0.0.2: want one IP address"},
		"frame just fits":   {change: func(c *Config) { c.MaxFrame, c.MaxMessageSize = 100_000, 100_000-64<<10 }},
		"frame too small": {change: func(c *Config) { c.MaxFrame = 1 << 20 },
			err: "frameMaxLength=1048576: want at least 4259840, so that a message of maxMessageSize=4194304 fits into a frame with its header and properties; raise frameMaxLength, or lower maxMessageSize to 983040"},
		"message too large": {change: func(c *Config) { c.MaxFrame, c.MaxMessageSize = 100_000, 100_001-64<<10 }, err: "frameMaxLength=100000: want at least 100001"},
		"file too small":    {change: func(c *Config) { c.CommitLogFileSize = 1 << 20 }, err: "mappedFileSizeCommitLog=1048576: want at least 4259840"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := Standalone("/home/u", "h")
			if c.change != nil {
				c.change(&cfg)
			}
			warnings, err := cfg.Validate()
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error %v, want one with %q", err, c.err)
			}
			if c.warning == "" && len(warnings) > 0 || c.warning != "" && (len(warnings) != 1 || !strings.Contains(warnings[0], c.warning)) {
				t.Errorf("warnings %q, want one with %q", warnings, c.warning)
			}
			if c.after != nil && !c.after(cfg) {
				t.Errorf("afterwards: %+v", cfg)
			}
		})
	}
}

func TestReadFileNamesTheFile(t *testing.T) {
	t.Parallel()
	c := Standalone("/home/u", "")
	missing := filepath.Join(t.TempDir(), "none.conf")
	if _, err := c.ReadFile(missing); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("error %v", err)
	}
	path := filepath.Join(t.TempDir(), "broker.conf")
	if err := os.WriteFile(path, []byte("listenPort=x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadFile(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "line 1: listenPort=x") {
		t.Errorf("error %v", err)
	}
	if err := os.WriteFile(path, []byte("listenPort=x\nbrokerId=y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadFile(path); err == nil || !strings.HasPrefix(err.Error(), "broker configuration "+path+":\nline 1: listenPort=x") {
		t.Errorf("error %v", err)
	}
	if err := os.WriteFile(path, []byte("listenPort=4711\nabortFile=x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if warnings, err := c.ReadFile(path); err != nil || len(warnings) != 1 || c.ListenPort != 4711 {
		t.Errorf("port %d, warnings %q, error %v", c.ListenPort, warnings, err)
	}
	if err := os.WriteFile(path, make([]byte, maxFileSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadFile(path); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("a file of a megabyte: %v", err)
	}
}

func card(name string, index int, addrs ...string) Interface {
	i := Interface{Name: name, Index: index, Up: true}
	for _, a := range addrs {
		i.Addrs = append(i.Addrs, netip.MustParseAddr(a))
	}
	return i
}

func TestAdvertisedAddress(t *testing.T) {
	t.Parallel()
	lo := card("lo", 1, "127.0.0.1", "::1")
	lo.Loopback = true
	docker := card("docker0", 3, "172.17.0.1")
	docker.Bridge = true
	vpn := card("tun0", 4, "100.64.0.9")
	vpn.PointToPoint = true
	down := card("eth9", 0, "8.8.8.8")
	down.Up = false
	for name, c := range map[string]struct {
		ip1, bind string
		cards     []Interface
		want      string
		warning   []string
	}{
		"brokerIP1 wins":             {ip1: "mq.example.org", cards: []Interface{lo, card("eth0", 2, "10.0.0.5")}, want: "mq.example.org"},
		"loopback only":              {bind: "127.0.0.1", cards: []Interface{lo, card("eth0", 2, "10.0.0.5")}, want: "127.0.0.1"},
		"IPv6 loopback":              {bind: "::1", cards: []Interface{lo}, want: "::1"},
		"one bound card":             {bind: "10.0.0.5", cards: []Interface{lo, card("eth0", 2, "10.0.0.5"), card("eth1", 3, "10.0.1.5")}, want: "10.0.0.5"},
		"one card":                   {cards: []Interface{lo, card("eth0", 2, "10.0.0.5", "fe80::1", "2001:db8::5")}, want: "10.0.0.5"},
		"cards that do not count":    {cards: []Interface{down, lo, docker, vpn, card("eth0", 2, "10.0.0.5", "169.254.3.4")}, want: "10.0.0.5"},
		"public before private":      {cards: []Interface{lo, card("eth0", 2, "10.0.4.16"), card("eth1", 3, "81.70.10.20")}, want: "81.70.10.20", warning: []string{"advertises 81.70.10.20 (eth1)", "10.0.4.16 (eth0)", "brokerIP1"}},
		"lowest index of many":       {cards: []Interface{card("wlan0", 3, "192.168.1.7"), lo, card("eth0", 2, "192.168.0.7")}, want: "192.168.0.7", warning: []string{"192.168.0.7 (eth0), 192.168.1.7 (wlan0)", "brokerIP1"}},
		"two addresses on one card":  {cards: []Interface{lo, card("eth0", 2, "10.0.0.6", "10.0.0.5")}, want: "10.0.0.5", warning: []string{"10.0.0.6 (eth0)"}},
		"IPv6 when there is no IPv4": {cards: []Interface{lo, card("eth0", 2, "fe80::1", "2001:db8::5")}, want: "2001:db8::5"},
		"public IPv6 first":          {cards: []Interface{card("eth0", 2, "fd00::5", "2001:db8::5")}, want: "2001:db8::5", warning: []string{"fd00::5"}},
		"no card":                    {cards: []Interface{lo, docker}, want: "127.0.0.1", warning: []string{"127.0.0.1", "brokerIP1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := Standalone("/home/u", "h")
			cfg.BrokerIP1 = c.ip1
			if c.bind != "" {
				cfg.BindAddress = c.bind
			}
			host, warning := cfg.Advertise(c.cards)
			if host != c.want {
				t.Errorf("advertises %s, want %s", host, c.want)
			}
			if (warning != "") != (len(c.warning) > 0) {
				t.Errorf("warning %q", warning)
			}
			for _, part := range c.warning {
				if !strings.Contains(warning, part) {
					t.Errorf("warning %q does not say %q", warning, part)
				}
			}
		})
	}
}

func TestTheMachinesOwnInterfacesCanBeListed(t *testing.T) {
	t.Parallel()
	cards, err := Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cards {
		if c.Loopback && c.Up && len(c.Addrs) > 0 && c.Addrs[0].IsLoopback() {
			return
		}
	}
	t.Errorf("no loopback card among %+v", cards)
}

func TestListenAddrIsDualStackForJavasWildcard(t *testing.T) {
	t.Parallel()
	for bind, want := range map[string]string{"0.0.0.0": ":10911", "::": "[::]:10911", "127.0.0.1": "127.0.0.1:10911"} {
		c := Standalone("/home/u", "h")
		c.BindAddress = bind
		if got := c.ListenAddr(); got != want {
			t.Errorf("bindAddress=%s: listens on %q, want %q", bind, got, want)
		}
	}
}
