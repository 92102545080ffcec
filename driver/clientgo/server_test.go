package clientgo_test

import (
	"testing"

	"github.com/rocketkit/rocketkit/conformance/apache"
	"github.com/rocketkit/rocketkit/driver/clientgo"
)

func TestOnApache(t *testing.T) {
	clientgo.NeedsQuiet(t)
	t.Parallel()
	server := apache.StartFor(t, apache.Options{})
	onServer(t, server.NameServer(), 4) // rocketmq-client-go gives a busy broker 3 s
}

// cases run on every server, those that wait longest first.
var cases = []struct {
	name string
	run  func(*env)
}{
	{"a consumer starts though one topic is missing", oneTopicMissing},
	{"the framework runs over the driver", framework},
	{"a panic in the sink retries the message", panicRetries},
	{"a message of no handler is not lost", foreignRetry},
	{"a failed message is retried, then dead-lettered", retryThenDeadLetter},
	{"sent messages arrive as they were sent", sendAsSent},
	{"a batch arrives message by message", sendBatch},
	{"oneway messages arrive", sendOneway},
	{"queues are sorted and of the topic", queuesSorted},
	{"a broker's refusal names its code", sendRefused},
	{"an unknown broker is unreachable", sendToUnknownBroker},
	{"an ended ctx sends nothing", sendWithEndedContext},
	{"a closed sender refuses", sendAfterClose},
	{"a big body is not compressed", sendBig},
	{"a delay level delays", delayLevel},
	{"tags filter", filterByTags},
	{"a dead letter can be retried", retryDeadLetter},
	{"drain waits for what is at work and commits", drainWaits},
	{"drain says what was left when its time was over", drainCutShort},
	{"stop gives back what is at work", stopGivesBack},
	{"queues that are taken away end their ctx", revocation},
	{"a consumer starts before its topic", topicLater},
	{"a level is chosen for an exact delay", exactDelayRounded},
	{"a verdict's maximum beats the subscription's", verdictMaximum},
	{"drivers of one process do not share anything", twoDrivers},
	{"close ends what was left open", closeEndsAll},
	{"many messages arrive once, though queues move", moving},
}
