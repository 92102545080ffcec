package message

import (
	"fmt"
	"strings"
)

// namespaceSeparator is between a namespace and a name on the wire (NamespaceUtil).
const namespaceSeparator = "%"

// CheckNamespace reports whether ns can be a namespace; "", none, can.
func CheckNamespace(ns string) error {
	for i, r := range ns {
		if r == '%' || r == '|' || !nameRune(r) {
			return fmt.Errorf("the namespace %q has %q at byte %d; allowed are letters, digits, _ and -", ns, r, i)
		}
	}
	if len(ns) > MaxTopicLength/2 {
		return fmt.Errorf("the namespace leaves too little of a topic's name; choose one of %d bytes at most", MaxTopicLength/2)
	}
	return nil
}

// WithNamespace is what a topic or group is called on the wire in a namespace, as
// Java's NamespaceUtil has it: "orders" in "shop" is "shop%orders", and "%RETRY%pay" is
// "%RETRY%shop%pay". Names that are in ns already stay, and so do RocketMQ's own topics
// and groups, which belong to all.
func WithNamespace(ns, name string) string {
	if ns == "" || name == "" || isSystemName(name) {
		return name
	}
	prefix, rest := cutGroupPrefix(name)
	if inNamespace(ns, rest) {
		return name
	}
	return prefix + ns + namespaceSeparator + rest
}

// WithoutNamespace undoes WithNamespace. Names that are not in ns stay as they are.
func WithoutNamespace(ns, name string) string {
	if ns == "" {
		return name
	}
	prefix, rest := cutGroupPrefix(name)
	if !inNamespace(ns, rest) {
		return name
	}
	return prefix + rest[len(ns)+len(namespaceSeparator):]
}

func inNamespace(ns, rest string) bool {
	return len(rest) > len(ns) && rest[:len(ns)] == ns && strings.HasPrefix(rest[len(ns):], namespaceSeparator)
}

// cutGroupPrefix takes off what is before the group in the names of a group's topics.
func cutGroupPrefix(name string) (prefix, rest string) {
	for _, p := range [...]string{RetryPrefix, DLQPrefix} {
		if strings.HasPrefix(name, p) {
			return p, name[len(p):]
		}
	}
	return "", name
}

// isSystemName reports that a topic or group is RocketMQ's own (TopicValidator.isSystemTopic
// of 5.4.0, which has all that 4.9 has, and MixAll.isSysConsumerGroup).
func isSystemName(name string) bool {
	switch name {
	case "TBW102", "SCHEDULE_TOPIC_XXXX", "BenchmarkTest", "TRANS_CHECK_MAX_TIME_TOPIC", "SELF_TEST_TOPIC", "OFFSET_MOVED_EVENT", "CHECKPOINT_TOPIC",
		"RMQ_SYS_TRACE_TOPIC", "RMQ_SYS_TRANS_HALF_TOPIC", "RMQ_SYS_TRANS_OP_HALF_TOPIC",
		"RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC", "RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC":
		return true
	}
	return strings.HasPrefix(name, "rmq_sys_") || strings.HasPrefix(name, "CID_RMQ_SYS_")
}
