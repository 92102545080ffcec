package config

import (
	"errors"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// key is one entry of broker.conf that broker-lite acts on.
type key struct {
	name  string
	alias string // another spelling that documents use
	live  bool   // it can change while the broker runs
	// set parses a value; its error completes "want …".
	set func(c *Config, v string) error
	get func(c *Config) string
}

// keys are all of them, in the order in which Print writes them.
func keys() []key {
	return append(brokerKeys(), tlsKeys()...)
}

func brokerKeys() []key {
	return []key{
		{
			name: "namesrvAddr",
			set:  func(c *Config, v string) (err error) { c.NameServers, err = ParseNameServers(v); return err },
			get:  func(c *Config) string { return strings.Join(c.NameServers, ";") },
		},
		text("brokerClusterName", func(c *Config) *string { return &c.ClusterName }),
		text("brokerName", func(c *Config) *string { return &c.BrokerName }),
		number("brokerId", 0, math.MaxInt64, func(c *Config) *int64 { return &c.BrokerID }),
		text("brokerIP1", func(c *Config) *string { return &c.BrokerIP1 }),
		text("bindAddress", func(c *Config) *string { return &c.BindAddress }),
		number("listenPort", 0, 65535, func(c *Config) *int { return &c.ListenPort }),
		oneOf("vipChannel", []string{VIPFixed, VIPOn, VIPOff}, func(c *Config) *string { return &c.VIPChannel }), // ours, not Apache's
		oneOf("brokerRole", []string{RoleAsyncMaster, RoleSyncMaster, RoleSlave}, func(c *Config) *string { return &c.Role }),
		number("brokerPermission", 0, 7, func(c *Config) *int { return &c.Permission }).atRunTime(),

		number("maxConnections", 1, 1<<20, func(c *Config) *int { return &c.MaxConnections }),                   // ours, not Apache's
		size("frameMaxLength", frameRoom+1, protocol.MaxFrameSize, func(c *Config) *int { return &c.MaxFrame }), // Apache's system property com.rocketmq.remoting.frameMaxLength
		{
			name: "httpAddress", // ours, not Apache's
			set:  setHTTPAddress,
			get:  func(c *Config) string { return c.HTTPAddress },
		},

		flag("aclEnable", func(c *Config) *bool { return &c.ACLEnable }),
		text("aclFile", func(c *Config) *string { return &c.ACLFile }), // ours, not Apache's

		flag("autoCreateTopicEnable", func(c *Config) *bool { return &c.AutoCreateTopic }).atRunTime(),
		flag("autoCreateSubscriptionGroup", func(c *Config) *bool { return &c.AutoCreateGroup }).atRunTime(),
		number("defaultTopicQueueNums", 1, 1024, func(c *Config) *int { return &c.DefaultTopicQueueNums }),
		flag("clusterTopicEnable", func(c *Config) *bool { return &c.ClusterTopic }),
		flag("brokerTopicEnable", func(c *Config) *bool { return &c.BrokerTopic }),
		flag("traceTopicEnable", func(c *Config) *bool { return &c.TraceTopic }),
		text("msgTraceTopicName", func(c *Config) *string { return &c.TraceTopicName }),

		text("storePathRootDir", func(c *Config) *string { return &c.StorePath }),
		text("storePathCommitLog", func(c *Config) *string { return &c.CommitLogPath }),
		text("storePathIndex", func(c *Config) *string { return &c.IndexPath }),
		flag("messageIndexEnable", func(c *Config) *bool { return &c.MessageIndex }),
		number("defaultQueryMaxNum", 1, 1<<10, func(c *Config) *int { return &c.DefaultQueryMaxNum }).atRunTime(),
		number("maxMsgsNumBatch", 1, 1<<10, func(c *Config) *int { return &c.MaxMsgsNumBatch }).atRunTime(),
		size("mappedFileSizeCommitLog", 64<<10, math.MaxInt32, func(c *Config) *int64 { return &c.CommitLogFileSize }).also("mapedFileSizeCommitLog"),
		size("mappedFileSizeConsumeQueue", ConsumeQueueEntry, math.MaxInt32, func(c *Config) *int64 { return &c.ConsumeQueueSize }).also("mapedFileSizeConsumeQueue"),
		{name: "flushDiskType", set: setFlush, get: flushType},
		duration("flushIntervalCommitLog", time.Millisecond, time.Millisecond, time.Hour, func(c *Config) *time.Duration { return &c.FlushInterval }),
		duration("syncFlushTimeout", time.Millisecond, time.Millisecond, time.Hour, func(c *Config) *time.Duration { return &c.SyncFlushTimeout }),
		size("maxMessageSize", 1, maxMessageSize, func(c *Config) *int { return &c.MaxMessageSize }).atRunTime(),
		text("deleteWhen", func(c *Config) *string { return &c.DeleteWhen }).by(setDeleteWhen).atRunTime(),
		number("fileReservedTime", 1, 24*365*100, func(c *Config) *int { return &c.FileReservedHours }).atRunTime(),
		number("diskMaxUsedSpaceRatio", 10, 100, func(c *Config) *int { return &c.DiskMaxUsedRatio }).atRunTime(),
		number("diskSpaceCleanForciblyRatio", 10, 100, func(c *Config) *int { return &c.DiskCleanRatio }).atRunTime(),
		flag("cleanFileForciblyEnable", func(c *Config) *bool { return &c.CleanForcibly }).atRunTime(),
		duration("cleanResourceInterval", time.Millisecond, time.Second, time.Hour, func(c *Config) *time.Duration { return &c.CleanInterval }).atRunTime(),

		text("messageDelayLevel", func(c *Config) *string { return &c.MessageDelayLevel }).by(setDelayLevels),
		flag("timerWheelEnable", func(c *Config) *bool { return &c.TimerEnable }),
		duration("timerMaxDelaySec", time.Second, 0, 10*365*24*time.Hour, func(c *Config) *time.Duration { return &c.TimerMaxDelay }).atRunTime(),
		flag("enablePropertyFilter", func(c *Config) *bool { return &c.PropertyFilter }).atRunTime(),

		flag("storeReplyMessageEnable", func(c *Config) *bool { return &c.StoreReplies }).atRunTime(),

		flag("rejectTransactionMessage", func(c *Config) *bool { return &c.RejectTransactions }).atRunTime(),
		duration("transactionTimeOut", time.Millisecond, time.Millisecond, 24*time.Hour, func(c *Config) *time.Duration { return &c.TransactionTimeout }),
		number("transactionCheckMax", 1, 1<<20, func(c *Config) *int { return &c.TransactionCheckMax }),
		duration("transactionCheckInterval", time.Millisecond, time.Millisecond, 24*time.Hour, func(c *Config) *time.Duration { return &c.TransactionCheckInterval }),

		flag("longPollingEnable", func(c *Config) *bool { return &c.LongPolling }).atRunTime(),
		duration("shortPollingTimeMills", time.Millisecond, time.Millisecond, time.Minute, func(c *Config) *time.Duration { return &c.ShortPollingTime }).atRunTime(),
		size("maxTransferBytesOnMessageInMemory", 1<<10, maxMessageSize, func(c *Config) *int { return &c.MaxTransferBytes }).atRunTime(),
		number("maxTransferCountOnMessageInMemory", 1, 1<<20, func(c *Config) *int { return &c.MaxTransferCount }).atRunTime(),

		number("popInflightMessageThreshold", 1, 1<<19, func(c *Config) *int { return &c.PopMaxInvisible }),
		number("maxPopPollingSize", 0, 1<<20, func(c *Config) *int { return &c.PopMostWaiting }),
		number("popPollingSize", 0, 1<<20, func(c *Config) *int { return &c.PopMostWaitingPerQueue }),
		flag("enableRetryTopicV2", func(c *Config) *bool { return &c.PopRetryTopicV2 }),
		flag("retrieveMessageFromPopRetryTopicV1", func(c *Config) *bool { return &c.PopReadRetryTopicV1 }),
		oneOf("defaultMessageRequestMode", []string{protocol.ModePull, protocol.ModePop}, func(c *Config) *string { return &c.RequestMode }),
		number("defaultPopShareQueueNum", -1, 1<<20, func(c *Config) *int { return &c.PopShareQueueNum }),
		flag("recallMessageEnable", func(c *Config) *bool { return &c.Recall }),

		duration("registerNameServerPeriod", time.Millisecond, 10*time.Second, time.Minute, func(c *Config) *time.Duration { return &c.RegisterPeriod }),
		duration("registerBrokerTimeoutMills", time.Millisecond, time.Millisecond, time.Hour, func(c *Config) *time.Duration { return &c.RegisterTimeout }),
		duration("channelExpiredTimeout", time.Millisecond, time.Second, 24*time.Hour, func(c *Config) *time.Duration { return &c.ClientExpiry }),
		duration("flushConsumerOffsetInterval", time.Millisecond, 500*time.Millisecond, time.Hour, func(c *Config) *time.Duration { return &c.FlushOffsetsInterval }),
		flag("useServerSideResetOffset", func(c *Config) *bool { return &c.ServerSideReset }).atRunTime(),
		text("regionId", func(c *Config) *string { return &c.RegionID }),
		flag("traceOn", func(c *Config) *bool { return &c.TraceOn }),
	}
}

const (
	// frameRoom is what a frame, or a file of the log, has room for besides a message's
	// body: its header and its properties, which have 32767 bytes at most.
	frameRoom      = 64 << 10
	maxMessageSize = protocol.MaxFrameSize - frameRoom
)

func (k key) also(alias string) key { k.alias = alias; return k }

func (k key) atRunTime() key { k.live = true; return k }

func (k key) by(set func(c *Config, v string) error) key { k.set = set; return k }

func text(name string, field func(c *Config) *string) key {
	return key{
		name: name,
		set:  func(c *Config, v string) error { *field(c) = v; return nil },
		get:  func(c *Config) string { return *field(c) },
	}
}

func flag(name string, field func(c *Config) *bool) key {
	return key{
		name: name,
		set: func(c *Config, v string) error {
			switch strings.ToLower(v) {
			case "true":
				*field(c) = true
			case "false":
				*field(c) = false
			default:
				return errors.New("true or false")
			}
			return nil
		},
		get: func(c *Config) string { return strconv.FormatBool(*field(c)) },
	}
}

func number[T int | int64](name string, low, high int64, field func(c *Config) *T) key {
	return key{
		name: name,
		set: func(c *Config, v string) error {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n < low || n > high {
				return errors.New("a whole number, " + between(low, high))
			}
			*field(c) = T(n)
			return nil
		},
		get: func(c *Config) string { return strconv.FormatInt(int64(*field(c)), 10) },
	}
}

// size is a number of bytes.
func size[T int | int64](name string, low, high int64, field func(c *Config) *T) key {
	k := number(name, low, high, field)
	set := k.set
	return k.by(func(c *Config, v string) error {
		if err := set(c, v); err != nil {
			return errors.New("bytes as " + err.Error())
		}
		return nil
	})
}

func between(low, high int64) string {
	if high == math.MaxInt64 {
		return "at least " + strconv.FormatInt(low, 10)
	}
	return strconv.FormatInt(low, 10) + " to " + strconv.FormatInt(high, 10)
}

// duration is a count of unit, as Apache writes times.
func duration(name string, unit, low, high time.Duration, field func(c *Config) *time.Duration) key {
	units := "milliseconds"
	if unit == time.Second {
		units = "seconds"
	}
	return key{
		name: name,
		set: func(c *Config, v string) error {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n < int64(low/unit) || n > int64(high/unit) {
				return errors.New(units + " as a whole number, " + between(int64(low/unit), int64(high/unit)))
			}
			*field(c) = time.Duration(n) * unit
			return nil
		},
		get: func(c *Config) string { return strconv.FormatInt(int64(*field(c)/unit), 10) },
	}
}

func oneOf(name string, values []string, field func(c *Config) *string) key {
	return key{
		name: name,
		set: func(c *Config, v string) error {
			for _, known := range values {
				if v == known {
					*field(c) = v
					return nil
				}
			}
			return errors.New("one of " + strings.Join(values, ", "))
		},
		get: func(c *Config) string { return *field(c) },
	}
}

func setFlush(c *Config, v string) error {
	switch v {
	case "SYNC_FLUSH":
		c.SyncFlush = true
	case "ASYNC_FLUSH":
		c.SyncFlush = false
	default:
		return errors.New("ASYNC_FLUSH or SYNC_FLUSH")
	}
	return nil
}

func flushType(c *Config) string {
	if c.SyncFlush {
		return "SYNC_FLUSH"
	}
	return "ASYNC_FLUSH"
}

func setHTTPAddress(c *Config, v string) error {
	if _, port, err := net.SplitHostPort(v); v != "" {
		if _, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil {
			return errors.New(`host:port or :port, such as 127.0.0.1:5557; empty for none`)
		}
	}
	c.HTTPAddress = v
	return nil
}

func setDeleteWhen(c *Config, v string) error {
	for hour := range strings.SplitSeq(v, ";") {
		n, err := strconv.Atoi(hour)
		if err != nil || n < 0 || n > 23 {
			return errors.New(`hours of the day, "04" or "04;16"`)
		}
	}
	c.DeleteWhen = v
	return nil
}

func setDelayLevels(c *Config, v string) error {
	if _, err := protocol.ParseDelayLevels(v); err != nil {
		return errors.New(`delays such as "1s 5s 1m 2h 1d", separated by spaces`)
	}
	c.MessageDelayLevel = v
	return nil
}

// ParseNameServers reads namesrvAddr, host:port pairs separated by ';'. Its
// error completes "want".
func ParseNameServers(v string) ([]string, error) {
	bad := errors.New(`addresses as host:port separated by ";", such as 127.0.0.1:9876;192.168.0.1:9876`)
	var servers []string
	for addr := range strings.SplitSeq(v, ";") {
		if addr = strings.TrimSpace(addr); addr == "" {
			continue
		}
		host, port, err := net.SplitHostPort(addr)
		if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 || host == "" || strings.ContainsAny(host, ", \t/") {
			return nil, bad
		}
		servers = append(servers, addr)
	}
	return servers, nil
}
