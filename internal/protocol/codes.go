package protocol

import "strconv"

// Code is a request code or, in a response, a response code.
type Code int32

// Response codes (RemotingSysResponseCode and ResponseCode).
const (
	Success               Code = 0
	SystemError           Code = 1
	SystemBusy            Code = 2
	CodeNotSupported      Code = 3
	TransactionFailed     Code = 4
	FlushDiskTimeout      Code = 10
	SlaveNotAvailable     Code = 11
	FlushSlaveTimeout     Code = 12
	MessageIllegal        Code = 13
	ServiceNotAvailable   Code = 14
	VersionNotSupported   Code = 15
	NoPermission          Code = 16
	TopicNotExist         Code = 17
	TopicExistAlready     Code = 18
	PullNotFound          Code = 19
	PullRetryImmediately  Code = 20
	PullOffsetMoved       Code = 21
	QueryNotFound         Code = 22
	SubscriptionParse     Code = 23
	SubscriptionNotExist  Code = 24
	SubscriptionNotLatest Code = 25
	GroupNotExist         Code = 26
	FilterDataNotExist    Code = 27
	FilterDataNotLatest   Code = 28
	InvalidParameter      Code = 29
	ConsumerNotOnline     Code = 206
	ConsumeTimeout        Code = 207
	NoMessage             Code = 208
	PollingFull           Code = 209
	PollingTimeout        Code = 210
	BrokerNotExist        Code = 211
	FlowControl           Code = 215
	IllegalOperation      Code = 604
	GoAway                Code = 1500
)

// ResponseName returns Apache's constant for a response code.
func ResponseName(c Code) string {
	if s, ok := responseNames(c); ok {
		return s
	}
	return "response code " + strconv.Itoa(int(c))
}

func responseNames(c Code) (string, bool) {
	switch c {
	case Success:
		return "SUCCESS", true
	case SystemError:
		return "SYSTEM_ERROR", true
	case SystemBusy:
		return "SYSTEM_BUSY", true
	case CodeNotSupported:
		return "REQUEST_CODE_NOT_SUPPORTED", true
	case TransactionFailed:
		return "TRANSACTION_FAILED", true
	case FlushDiskTimeout:
		return "FLUSH_DISK_TIMEOUT", true
	case SlaveNotAvailable:
		return "SLAVE_NOT_AVAILABLE", true
	case FlushSlaveTimeout:
		return "FLUSH_SLAVE_TIMEOUT", true
	case MessageIllegal:
		return "MESSAGE_ILLEGAL", true
	case ServiceNotAvailable:
		return "SERVICE_NOT_AVAILABLE", true
	case VersionNotSupported:
		return "VERSION_NOT_SUPPORTED", true
	case NoPermission:
		return "NO_PERMISSION", true
	case TopicNotExist:
		return "TOPIC_NOT_EXIST", true
	case TopicExistAlready:
		return "TOPIC_EXIST_ALREADY", true
	case PullNotFound:
		return "PULL_NOT_FOUND", true
	case PullRetryImmediately:
		return "PULL_RETRY_IMMEDIATELY", true
	case PullOffsetMoved:
		return "PULL_OFFSET_MOVED", true
	case QueryNotFound:
		return "QUERY_NOT_FOUND", true
	case SubscriptionParse:
		return "SUBSCRIPTION_PARSE_FAILED", true
	case SubscriptionNotExist:
		return "SUBSCRIPTION_NOT_EXIST", true
	case SubscriptionNotLatest:
		return "SUBSCRIPTION_NOT_LATEST", true
	case GroupNotExist:
		return "SUBSCRIPTION_GROUP_NOT_EXIST", true
	case FilterDataNotExist:
		return "FILTER_DATA_NOT_EXIST", true
	case FilterDataNotLatest:
		return "FILTER_DATA_NOT_LATEST", true
	case InvalidParameter:
		return "INVALID_PARAMETER", true
	case ConsumerNotOnline:
		return "CONSUMER_NOT_ONLINE", true
	case ConsumeTimeout:
		return "CONSUME_MSG_TIMEOUT", true
	case NoMessage:
		return "NO_MESSAGE", true
	case PollingFull:
		return "POLLING_FULL", true
	case PollingTimeout:
		return "POLLING_TIMEOUT", true
	case BrokerNotExist:
		return "BROKER_NOT_EXIST", true
	case FlowControl:
		return "FLOW_CONTROL", true
	case IllegalOperation:
		return "ILLEGAL_OPERATION", true
	case GoAway:
		return "GO_AWAY", true
	}
	return "", false
}

// Language is what a peer says it is written in (LanguageCode).
type Language uint8

// Languages that matter to a server; others are kept as numbers.
const (
	LanguageJava  Language = 0
	LanguageCPP   Language = 1
	LanguageOther Language = 7
	LanguageGo    Language = 9
)

var languageNames = [...]string{"JAVA", "CPP", "DOTNET", "PYTHON", "DELPHI", "ERLANG", "RUBY", "OTHER", "HTTP", "GO", "PHP", "OMS", "RUST", "NODE_JS"}

func (l Language) String() string {
	if int(l) < len(languageNames) {
		return languageNames[l]
	}
	return "OTHER"
}

// parseLanguage reads a name or, as fastjson does for enums, an ordinal.
func parseLanguage(s string) Language {
	if s != "" && s[0] >= '0' && s[0] <= '9' {
		if n, err := strconv.ParseUint(s, 10, 8); err == nil {
			return Language(n)
		}
	}
	for i, n := range languageNames {
		if n == s {
			return Language(i)
		}
	}
	return LanguageOther
}

// Versions are ordinals of org.apache.rocketmq.common.MQVersion.Version.
const (
	VersionV4_1_0 int32 = 233
	VersionV4_9_3 int32 = 399
	VersionV4_9_4 int32 = 401 // from here name servers answer standard JSON
	VersionV4_9_7 int32 = 407
	VersionV5_0_0 int32 = 413 // timer messages, POP
	VersionV5_1_1 int32 = 435
	VersionV5_3_1 int32 = 475 // above it a server that shuts down answers GO_AWAY
	VersionV5_4_0 int32 = 493

	// ServerVersion is what broker-lite claims in its responses.
	ServerVersion = VersionV5_4_0
	// ClientVersion is what the native client claims: standard JSON routes and
	// every 5.x behaviour, but no GO_AWAY.
	ClientVersion = VersionV5_3_1
)

// widenCode undoes the binary codec's truncation of a request code to 16 bits:
// POP's 200050… arrive as 3442… and 200151 as 3543.
func widenCode(c int16) Code {
	if (c >= 3442 && c <= 3448) || c == 3543 {
		return Code(c) + 3*65536
	}
	return Code(c)
}
