package protocol

import "strconv"

// Request codes (org.apache.rocketmq.remoting.protocol.RequestCode; 50 to 53 are
// 4.9's). Which of them broker-lite serves is in the packages that serve them.
const (
	SendMessage                   Code = 10
	PullMessage                   Code = 11
	QueryMessage                  Code = 12
	QueryConsumerOffset           Code = 14
	UpdateConsumerOffset          Code = 15
	UpdateAndCreateTopic          Code = 17
	UpdateAndCreateTopicList      Code = 18
	GetAllTopicConfig             Code = 21
	UpdateBrokerConfig            Code = 25
	GetBrokerConfig               Code = 26
	GetBrokerRuntimeInfo          Code = 28
	SearchOffsetByTime            Code = 29
	GetMaxOffset                  Code = 30
	GetMinOffset                  Code = 31
	GetEarliestStoreTime          Code = 32
	ViewMessageByID               Code = 33
	Heartbeat                     Code = 34
	UnregisterClient              Code = 35
	SendMessageBack               Code = 36
	EndTransaction                Code = 37
	GetConsumerList               Code = 38
	CheckTransactionState         Code = 39
	NotifyConsumersChanged        Code = 40
	LockBatchMQ                   Code = 41
	UnlockBatchMQ                 Code = 42
	GetAllConsumerOffset          Code = 43
	GetAllDelayOffset             Code = 45
	CheckClientConfig             Code = 46
	UpdateACLConfig               Code = 50
	DeleteACLConfig               Code = 51
	GetACLVersion                 Code = 52
	UpdateGlobalWhiteAddrs        Code = 53
	GetTimerCheckPoint            Code = 60
	GetTimerMetrics               Code = 61
	PutKVConfig                   Code = 100
	GetKVConfig                   Code = 101
	DeleteKVConfig                Code = 102
	RegisterBroker                Code = 103
	UnregisterBroker              Code = 104
	GetRouteInfo                  Code = 105
	GetClusterInfo                Code = 106
	UpdateGroup                   Code = 200
	GetAllGroups                  Code = 201
	GetTopicStats                 Code = 202
	GetConsumerConnections        Code = 203
	GetProducerConnections        Code = 204
	WipeWritePerm                 Code = 205
	GetTopicList                  Code = 206
	DeleteGroup                   Code = 207
	GetConsumeStats               Code = 208
	DeleteTopicInBroker           Code = 215
	DeleteTopicInNameServer       Code = 216
	RegisterTopicInNameServer     Code = 217
	GetKVList                     Code = 219
	ResetClientOffset             Code = 220
	GetClientStatus               Code = 221
	ResetOffset                   Code = 222
	GetConsumerStatus             Code = 223
	GetTopicsByCluster            Code = 224
	UpdateGroupList               Code = 225
	QueryTopicConsumers           Code = 300
	QueryConsumeTimeSpan          Code = 303
	GetSystemTopicsFromNameServer Code = 304
	GetSystemTopicsFromBroker     Code = 305
	CleanExpiredConsumeQueue      Code = 306
	GetClientRunningInfo          Code = 307
	QueryCorrectionOffset         Code = 308
	ConsumeDirectly               Code = 309
	SendMessageV2                 Code = 310
	GetUnitTopics                 Code = 311
	GetHasUnitSubTopics           Code = 312
	GetHasUnitSubUnunitTopics     Code = 313
	CloneGroupOffset              Code = 314
	ViewBrokerStats               Code = 315
	CleanUnusedTopic              Code = 316
	GetBrokerConsumeStats         Code = 317
	UpdateNameServerConfig        Code = 318
	GetNameServerConfig           Code = 319
	SendBatchMessage              Code = 320
	QueryConsumeQueue             Code = 321
	QueryDataVersion              Code = 322
	ResumeCheckHalfMessage        Code = 323
	SendReply                     Code = 324
	SendReplyV2                   Code = 325
	PushReply                     Code = 326
	AddWritePerm                  Code = 327
	GetAllProducers               Code = 328
	DeleteExpiredCommitLog        Code = 329
	QueryTopicsByConsumer         Code = 343
	QuerySubscription             Code = 345
	GetTopicConfig                Code = 351
	GetGroupConfig                Code = 352
	UpdateGroupForbidden          Code = 353
	LitePullMessage               Code = 361
	RecallMessage                 Code = 370
	QueryAssignment               Code = 400
	SetMessageRequestMode         Code = 401
	GetAllMessageRequestModes     Code = 402
	UpdateStaticTopic             Code = 513
	GetBrokerMemberGroup          Code = 901
	BrokerHeartbeat               Code = 904
	NotifyMinBrokerIDChange       Code = 905
	ExchangeHAInfo                Code = 906
	GetBrokerHAStatus             Code = 907
	PopMessage                    Code = 200050
	AckMessage                    Code = 200051
	PeekMessage                   Code = 200052
	ChangeInvisibleTime           Code = 200053
	Notification                  Code = 200054
	PollingInfo                   Code = 200055
	PopRollback                   Code = 200056
	BatchAckMessage               Code = 200151
)

// RequestName returns Apache's constant for a request code, for logs and
// errors; unknown codes are printed as numbers.
func RequestName(c Code) string {
	if s, ok := requestNames(c); ok {
		return s
	}
	return "request code " + strconv.Itoa(int(c))
}

func requestNames(c Code) (string, bool) {
	switch c {
	case SendMessage:
		return "SEND_MESSAGE", true
	case PullMessage:
		return "PULL_MESSAGE", true
	case QueryMessage:
		return "QUERY_MESSAGE", true
	case QueryConsumerOffset:
		return "QUERY_CONSUMER_OFFSET", true
	case UpdateConsumerOffset:
		return "UPDATE_CONSUMER_OFFSET", true
	case UpdateAndCreateTopic:
		return "UPDATE_AND_CREATE_TOPIC", true
	case UpdateAndCreateTopicList:
		return "UPDATE_AND_CREATE_TOPIC_LIST", true
	case GetAllTopicConfig:
		return "GET_ALL_TOPIC_CONFIG", true
	case UpdateBrokerConfig:
		return "UPDATE_BROKER_CONFIG", true
	case GetBrokerConfig:
		return "GET_BROKER_CONFIG", true
	case GetBrokerRuntimeInfo:
		return "GET_BROKER_RUNTIME_INFO", true
	case SearchOffsetByTime:
		return "SEARCH_OFFSET_BY_TIMESTAMP", true
	case GetMaxOffset:
		return "GET_MAX_OFFSET", true
	case GetMinOffset:
		return "GET_MIN_OFFSET", true
	case GetEarliestStoreTime:
		return "GET_EARLIEST_MSG_STORETIME", true
	case ViewMessageByID:
		return "VIEW_MESSAGE_BY_ID", true
	case Heartbeat:
		return "HEART_BEAT", true
	case UnregisterClient:
		return "UNREGISTER_CLIENT", true
	case SendMessageBack:
		return "CONSUMER_SEND_MSG_BACK", true
	case EndTransaction:
		return "END_TRANSACTION", true
	case GetConsumerList:
		return "GET_CONSUMER_LIST_BY_GROUP", true
	case CheckTransactionState:
		return "CHECK_TRANSACTION_STATE", true
	case NotifyConsumersChanged:
		return "NOTIFY_CONSUMER_IDS_CHANGED", true
	case LockBatchMQ:
		return "LOCK_BATCH_MQ", true
	case UnlockBatchMQ:
		return "UNLOCK_BATCH_MQ", true
	case GetAllConsumerOffset:
		return "GET_ALL_CONSUMER_OFFSET", true
	case GetAllDelayOffset:
		return "GET_ALL_DELAY_OFFSET", true
	case CheckClientConfig:
		return "CHECK_CLIENT_CONFIG", true
	case UpdateACLConfig:
		return "UPDATE_AND_CREATE_ACL_CONFIG", true
	case DeleteACLConfig:
		return "DELETE_ACL_CONFIG", true
	case GetACLVersion:
		return "GET_BROKER_CLUSTER_ACL_INFO", true
	case UpdateGlobalWhiteAddrs:
		return "UPDATE_GLOBAL_WHITE_ADDRS_CONFIG", true
	case GetTimerCheckPoint:
		return "GET_TIMER_CHECK_POINT", true
	case GetTimerMetrics:
		return "GET_TIMER_METRICS", true
	case PutKVConfig:
		return "PUT_KV_CONFIG", true
	case GetKVConfig:
		return "GET_KV_CONFIG", true
	case DeleteKVConfig:
		return "DELETE_KV_CONFIG", true
	case RegisterBroker:
		return "REGISTER_BROKER", true
	case UnregisterBroker:
		return "UNREGISTER_BROKER", true
	case GetRouteInfo:
		return "GET_ROUTEINFO_BY_TOPIC", true
	case GetClusterInfo:
		return "GET_BROKER_CLUSTER_INFO", true
	case UpdateGroup:
		return "UPDATE_AND_CREATE_SUBSCRIPTIONGROUP", true
	case GetAllGroups:
		return "GET_ALL_SUBSCRIPTIONGROUP_CONFIG", true
	case GetTopicStats:
		return "GET_TOPIC_STATS_INFO", true
	case GetConsumerConnections:
		return "GET_CONSUMER_CONNECTION_LIST", true
	case GetProducerConnections:
		return "GET_PRODUCER_CONNECTION_LIST", true
	case WipeWritePerm:
		return "WIPE_WRITE_PERM_OF_BROKER", true
	case GetTopicList:
		return "GET_ALL_TOPIC_LIST_FROM_NAMESERVER", true
	case DeleteGroup:
		return "DELETE_SUBSCRIPTIONGROUP", true
	case GetConsumeStats:
		return "GET_CONSUME_STATS", true
	case DeleteTopicInBroker:
		return "DELETE_TOPIC_IN_BROKER", true
	case DeleteTopicInNameServer:
		return "DELETE_TOPIC_IN_NAMESRV", true
	case RegisterTopicInNameServer:
		return "REGISTER_TOPIC_IN_NAMESRV", true
	case GetKVList:
		return "GET_KVLIST_BY_NAMESPACE", true
	case ResetClientOffset:
		return "RESET_CONSUMER_CLIENT_OFFSET", true
	case GetClientStatus:
		return "GET_CONSUMER_STATUS_FROM_CLIENT", true
	case ResetOffset:
		return "INVOKE_BROKER_TO_RESET_OFFSET", true
	case GetConsumerStatus:
		return "INVOKE_BROKER_TO_GET_CONSUMER_STATUS", true
	case GetTopicsByCluster:
		return "GET_TOPICS_BY_CLUSTER", true
	case UpdateGroupList:
		return "UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST", true
	case QueryTopicConsumers:
		return "QUERY_TOPIC_CONSUME_BY_WHO", true
	case QueryConsumeTimeSpan:
		return "QUERY_CONSUME_TIME_SPAN", true
	case GetSystemTopicsFromNameServer:
		return "GET_SYSTEM_TOPIC_LIST_FROM_NS", true
	case GetSystemTopicsFromBroker:
		return "GET_SYSTEM_TOPIC_LIST_FROM_BROKER", true
	case CleanExpiredConsumeQueue:
		return "CLEAN_EXPIRED_CONSUMEQUEUE", true
	case GetClientRunningInfo:
		return "GET_CONSUMER_RUNNING_INFO", true
	case QueryCorrectionOffset:
		return "QUERY_CORRECTION_OFFSET", true
	case ConsumeDirectly:
		return "CONSUME_MESSAGE_DIRECTLY", true
	case SendMessageV2:
		return "SEND_MESSAGE_V2", true
	case GetUnitTopics:
		return "GET_UNIT_TOPIC_LIST", true
	case GetHasUnitSubTopics:
		return "GET_HAS_UNIT_SUB_TOPIC_LIST", true
	case GetHasUnitSubUnunitTopics:
		return "GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST", true
	case CloneGroupOffset:
		return "CLONE_GROUP_OFFSET", true
	case ViewBrokerStats:
		return "VIEW_BROKER_STATS_DATA", true
	case CleanUnusedTopic:
		return "CLEAN_UNUSED_TOPIC", true
	case GetBrokerConsumeStats:
		return "GET_BROKER_CONSUME_STATS", true
	case UpdateNameServerConfig:
		return "UPDATE_NAMESRV_CONFIG", true
	case GetNameServerConfig:
		return "GET_NAMESRV_CONFIG", true
	case SendBatchMessage:
		return "SEND_BATCH_MESSAGE", true
	case QueryConsumeQueue:
		return "QUERY_CONSUME_QUEUE", true
	case QueryDataVersion:
		return "QUERY_DATA_VERSION", true
	case ResumeCheckHalfMessage:
		return "RESUME_CHECK_HALF_MESSAGE", true
	case SendReply:
		return "SEND_REPLY_MESSAGE", true
	case SendReplyV2:
		return "SEND_REPLY_MESSAGE_V2", true
	case PushReply:
		return "PUSH_REPLY_MESSAGE_TO_CLIENT", true
	case AddWritePerm:
		return "ADD_WRITE_PERM_OF_BROKER", true
	case GetAllProducers:
		return "GET_ALL_PRODUCER_INFO", true
	case DeleteExpiredCommitLog:
		return "DELETE_EXPIRED_COMMITLOG", true
	case QueryTopicsByConsumer:
		return "QUERY_TOPICS_BY_CONSUMER", true
	case QuerySubscription:
		return "QUERY_SUBSCRIPTION_BY_CONSUMER", true
	case GetTopicConfig:
		return "GET_TOPIC_CONFIG", true
	case GetGroupConfig:
		return "GET_SUBSCRIPTIONGROUP_CONFIG", true
	case UpdateGroupForbidden:
		return "UPDATE_AND_GET_GROUP_FORBIDDEN", true
	case LitePullMessage:
		return "LITE_PULL_MESSAGE", true
	case RecallMessage:
		return "RECALL_MESSAGE", true
	case QueryAssignment:
		return "QUERY_ASSIGNMENT", true
	case SetMessageRequestMode:
		return "SET_MESSAGE_REQUEST_MODE", true
	case GetAllMessageRequestModes:
		return "GET_ALL_MESSAGE_REQUEST_MODE", true
	case UpdateStaticTopic:
		return "UPDATE_AND_CREATE_STATIC_TOPIC", true
	case GetBrokerMemberGroup:
		return "GET_BROKER_MEMBER_GROUP", true
	case BrokerHeartbeat:
		return "BROKER_HEARTBEAT", true
	case NotifyMinBrokerIDChange:
		return "NOTIFY_MIN_BROKER_ID_CHANGE", true
	case ExchangeHAInfo:
		return "EXCHANGE_BROKER_HA_INFO", true
	case GetBrokerHAStatus:
		return "GET_BROKER_HA_STATUS", true
	case PopMessage:
		return "POP_MESSAGE", true
	case AckMessage:
		return "ACK_MESSAGE", true
	case PeekMessage:
		return "PEEK_MESSAGE", true
	case ChangeInvisibleTime:
		return "CHANGE_MESSAGE_INVISIBLETIME", true
	case Notification:
		return "NOTIFICATION", true
	case PollingInfo:
		return "POLLING_INFO", true
	case PopRollback:
		return "POP_ROLLBACK", true
	case BatchAckMessage:
		return "BATCH_ACK_MESSAGE", true
	}
	return "", false
}
