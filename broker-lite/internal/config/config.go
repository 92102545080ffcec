package config

import (
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Roles that brokerRole may take.
const (
	RoleAsyncMaster = "ASYNC_MASTER"
	RoleSyncMaster  = "SYNC_MASTER"
	RoleSlave       = "SLAVE"
)

// ConsumeQueueEntry is the size of a consume queue entry in bytes, the unit of
// mappedFileSizeConsumeQueue.
const ConsumeQueueEntry = 20

// Config is what a broker is started with. The key of Apache's broker.conf that
// sets a field is named behind it.
type Config struct {
	ClusterName string   // brokerClusterName
	BrokerName  string   // brokerName
	BrokerID    int64    // brokerId; 0 is the master, all that broker-lite can be
	BrokerIP1   string   // brokerIP1: the host that clients are told to dial; "" lets Advertise choose
	BindAddress string   // bindAddress
	ListenPort  int      // listenPort; 0 picks a free one
	VIPChannel  string   // vipChannel: whether clients are served two ports below listenPort too; see the constants
	NameServers []string // namesrvAddr, host:port each
	HTTPAddress string   // httpAddress: where metrics and health are served, host:port; "" nowhere
	// MaxConnections is maxConnections, for the name server and the broker each. A
	// process that may open few files has fewer.
	MaxConnections int
	MaxFrame       int    // frameMaxLength: bytes of a frame; Apache's com.rocketmq.remoting.frameMaxLength
	Role           string // brokerRole
	Permission     int    // brokerPermission: 4 read + 2 write
	TLS            TLS

	ACLEnable bool   // aclEnable: requests must be signed, as the rules in ACLFile say
	ACLFile   string // aclFile; "" is config/plain_acl.yml under StorePath, where Apache has conf under its home

	AutoCreateTopic       bool   // autoCreateTopicEnable
	AutoCreateGroup       bool   // autoCreateSubscriptionGroup
	DefaultTopicQueueNums int    // defaultTopicQueueNums: of TBW102; an auto-created topic gets min(client's, this)
	ClusterTopic          bool   // clusterTopicEnable
	BrokerTopic           bool   // brokerTopicEnable
	TraceTopic            bool   // traceTopicEnable
	TraceTopicName        string // msgTraceTopicName

	StorePath         string        // storePathRootDir
	CommitLogPath     string        // storePathCommitLog; "" is commitlog under StorePath
	IndexPath         string        // storePathIndex; "" is index under StorePath
	CommitLogFileSize int64         // mappedFileSizeCommitLog, bytes
	ConsumeQueueSize  int64         // mappedFileSizeConsumeQueue, bytes; see QueueFileEntries
	SyncFlush         bool          // flushDiskType=SYNC_FLUSH
	FlushInterval     time.Duration // flushIntervalCommitLog
	SyncFlushTimeout  time.Duration // syncFlushTimeout
	MaxMessageSize    int           // maxMessageSize, bytes of a body
	DeleteWhen        string        // deleteWhen: hours of the day, "04" or "04;16"
	FileReservedHours int           // fileReservedTime
	// DiskMaxUsedRatio is diskMaxUsedSpaceRatio, percent of a volume: above it what
	// has expired is deleted at once and messages are refused; 100 is never. Apache
	// deletes what has expired above its 75 and refuses above 90, which has no key.
	DiskMaxUsedRatio int
	DiskCleanRatio   int           // diskSpaceCleanForciblyRatio, percent: above it the oldest goes though it has not expired
	CleanForcibly    bool          // cleanFileForciblyEnable
	CleanInterval    time.Duration // cleanResourceInterval: how often the disk is looked at

	MessageIndex       bool // messageIndexEnable
	DefaultQueryMaxNum int  // defaultQueryMaxNum: messages that a query by unique key gets at most
	MaxMsgsNumBatch    int  // maxMsgsNumBatch: messages that any query gets at most

	MessageDelayLevel string        // messageDelayLevel, which protocol.ParseDelayLevels reads
	TimerEnable       bool          // timerWheelEnable
	TimerMaxDelay     time.Duration // timerMaxDelaySec; 0: no limit, where Apache has 3 days
	PropertyFilter    bool          // enablePropertyFilter: SQL92; Apache has it off

	StoreReplies bool // storeReplyMessageEnable: replies to requests are kept

	RejectTransactions       bool          // rejectTransactionMessage
	TransactionTimeout       time.Duration // transactionTimeOut: age before the first check
	TransactionCheckMax      int           // transactionCheckMax
	TransactionCheckInterval time.Duration // transactionCheckInterval

	LongPolling      bool          // longPollingEnable
	ShortPollingTime time.Duration // shortPollingTimeMills, the wait when long polling is off
	MaxTransferBytes int           // maxTransferBytesOnMessageInMemory
	MaxTransferCount int           // maxTransferCountOnMessageInMemory

	PopMaxInvisible        int    // popInflightMessageThreshold: of a queue and group; always on, where Apache has enablePopMessageThreshold
	PopMostWaiting         int    // maxPopPollingSize: pops that wait
	PopMostWaitingPerQueue int    // popPollingSize: likewise for one topic, group and queue
	PopRetryTopicV2        bool   // enableRetryTopicV2: %RETRY%group+topic instead of %RETRY%group_topic
	PopReadRetryTopicV1    bool   // retrieveMessageFromPopRetryTopicV1: read the old name too
	RequestMode            string // defaultMessageRequestMode: PULL or POP
	PopShareQueueNum       int    // defaultPopShareQueueNum: clients that share a queue; -1: all share all
	Recall                 bool   // recallMessageEnable; Apache's is off

	RegisterPeriod       time.Duration // registerNameServerPeriod, 10 s to 60 s as Apache clamps it
	RegisterTimeout      time.Duration // registerBrokerTimeoutMills
	ClientExpiry         time.Duration // channelExpiredTimeout: silence after which a client is dropped
	FlushOffsetsInterval time.Duration // flushConsumerOffsetInterval

	ServerSideReset bool // useServerSideResetOffset: resets wait here for the next pull, not at the clients

	RegionID string // regionId, the MSG_REGION of send responses
	TraceOn  bool   // traceOn, the TRACE_ON of send responses
}

// Standalone has Apache's defaults for a server of its own. home is the user's
// home directory, under which Apache keeps its store, and hostName the
// machine's name, Apache's default for brokerName.
func Standalone(home, hostName string) Config {
	c := defaults()
	c.StorePath = home + "/store"
	if hostName != "" {
		c.BrokerName = hostName
	}
	return c
}

// Embedded is for a broker inside a test or an application: loopback only, a
// free port, small files, and no regard for how full others have made the disk.
// dir is its store, which may be any name when the file
// system is in memory.
func Embedded(dir string) Config {
	c := defaults()
	c.BrokerName = "broker-a"
	c.BrokerIP1 = "127.0.0.1"
	c.BindAddress = "127.0.0.1"
	c.ListenPort = 0
	c.VIPChannel = VIPOff
	c.StorePath = dir
	c.CommitLogFileSize = 64 << 20
	c.ConsumeQueueSize = 15_000 * ConsumeQueueEntry
	c.DiskMaxUsedRatio = 100
	c.CleanForcibly = false
	return c
}

// defaults are those of BrokerConfig, MessageStoreConfig and
// NettyServerConfig (5.4.0), the same in 4.9.7 where it has them; where they differ
// the field's comment says so.
func defaults() Config {
	return Config{
		ClusterName:    "DefaultCluster",
		BrokerName:     "DEFAULT_BROKER",
		BindAddress:    "0.0.0.0",
		ListenPort:     10911,
		VIPChannel:     VIPFixed,
		MaxConnections: 1 << 16,
		MaxFrame:       protocol.MaxFrameSize,
		Role:           RoleAsyncMaster,
		Permission:     6,
		TLS:            TLS{NeedClientAuth: ClientAuthNone, VerifyServers: true},

		AutoCreateTopic:       true,
		AutoCreateGroup:       true,
		DefaultTopicQueueNums: 8,
		ClusterTopic:          true,
		BrokerTopic:           true,
		TraceTopicName:        "RMQ_SYS_TRACE_TOPIC",

		CommitLogFileSize: 1 << 30,
		ConsumeQueueSize:  300_000 * ConsumeQueueEntry,
		FlushInterval:     500 * time.Millisecond,
		SyncFlushTimeout:  5 * time.Second,
		MaxMessageSize:    4 << 20,
		DeleteWhen:        "04",
		FileReservedHours: 72,
		DiskMaxUsedRatio:  90,
		DiskCleanRatio:    85,
		CleanForcibly:     true,
		CleanInterval:     10 * time.Second,

		MessageIndex:       true,
		DefaultQueryMaxNum: 32,
		MaxMsgsNumBatch:    64,

		MessageDelayLevel: protocol.DefaultDelayLevels,
		TimerEnable:       true,
		PropertyFilter:    true,

		StoreReplies: true,

		TransactionTimeout:       6 * time.Second,
		TransactionCheckMax:      15,
		TransactionCheckInterval: 30 * time.Second,

		LongPolling:      true,
		ShortPollingTime: time.Second,
		MaxTransferBytes: 256 << 10,
		MaxTransferCount: 32,

		PopMaxInvisible:        10000,
		PopMostWaiting:         100000,
		PopMostWaitingPerQueue: 1024,
		PopReadRetryTopicV1:    true,
		RequestMode:            protocol.ModePull,
		PopShareQueueNum:       -1,
		Recall:                 true,

		RegisterPeriod:       30 * time.Second,
		RegisterTimeout:      24 * time.Second,
		ClientExpiry:         120 * time.Second,
		FlushOffsetsInterval: 5 * time.Second,

		ServerSideReset: true,

		RegionID: "DefaultRegion",
		TraceOn:  true,
	}
}

// CommitLogDir is the directory of the commit log.
func (c *Config) CommitLogDir() string {
	if c.CommitLogPath != "" {
		return c.CommitLogPath
	}
	return filepath.Join(c.StorePath, "commitlog")
}

// IndexDir is the directory of the message index.
func (c *Config) IndexDir() string {
	if c.IndexPath != "" {
		return c.IndexPath
	}
	return filepath.Join(c.StorePath, "index")
}

// ACLPath is where the ACL's rules are.
func (c *Config) ACLPath() string {
	if c.ACLFile != "" {
		return c.ACLFile
	}
	return filepath.Join(c.StorePath, "config", "plain_acl.yml")
}

// QueueFileEntries is ConsumeQueueSize in entries, rounded up as Apache does.
func (c *Config) QueueFileEntries() int {
	return int((c.ConsumeQueueSize + ConsumeQueueEntry - 1) / ConsumeQueueEntry)
}

// ListenAddr is what to listen on. Java's 0.0.0.0 takes IPv6 too, as Go's empty
// host does.
func (c *Config) ListenAddr() string {
	host := c.BindAddress
	if host == "0.0.0.0" {
		host = ""
	}
	return net.JoinHostPort(host, strconv.Itoa(c.ListenPort))
}
