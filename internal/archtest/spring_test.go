package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// springNames are the names of rocketmq-spring 2.3.5: the keys of RocketMQProperties,
// the attributes of its annotations, and what RocketMQTemplate sends and receives by.
func springNames() map[string]string {
	return map[string]string{
		"RocketMQProperties": `rocketmq.name-server rocketmq.access-channel
			rocketmq.producer.group rocketmq.producer.namespace rocketmq.producer.namespace-v2 rocketmq.producer.send-message-timeout
			rocketmq.producer.compress-message-body-threshold rocketmq.producer.retry-times-when-send-failed
			rocketmq.producer.retry-times-when-send-async-failed rocketmq.producer.retry-next-server rocketmq.producer.max-message-size
			rocketmq.producer.access-key rocketmq.producer.secret-key rocketmq.producer.enable-msg-trace
			rocketmq.producer.customized-trace-topic rocketmq.producer.tls-enable rocketmq.producer.instance-name
			rocketmq.pull-consumer.group rocketmq.pull-consumer.namespace rocketmq.pull-consumer.namespace-v2 rocketmq.pull-consumer.topic
			rocketmq.pull-consumer.message-model rocketmq.pull-consumer.selector-type rocketmq.pull-consumer.selector-expression
			rocketmq.pull-consumer.access-key rocketmq.pull-consumer.secret-key rocketmq.pull-consumer.pull-batch-size
			rocketmq.pull-consumer.enable-msg-trace rocketmq.pull-consumer.customized-trace-topic rocketmq.pull-consumer.tls-enable
			rocketmq.pull-consumer.instance-name rocketmq.consumer.listeners`,
		"@RocketMQMessageListener": `consumerGroup topic selectorType selectorExpression consumeMode messageModel consumeThreadMax consumeThreadNumber
			maxReconsumeTimes consumeTimeout replyTimeout accessKey secretKey enableMsgTrace customizedTraceTopic nameServer accessChannel tlsEnable
			namespace namespaceV2 delayLevelWhenNextConsume suspendCurrentQueueTimeMillis awaitTerminationMillisWhenShutdown instanceName`,
		"@ExtRocketMQTemplateConfiguration": `value nameServer group sendMessageTimeout compressMessageBodyThreshold retryTimesWhenSendFailed
			retryTimesWhenSendAsyncFailed retryNextServer maxMessageSize accessKey secretKey enableMsgTrace customizedTraceTopic tlsEnable namespace
			namespaceV2 instanceName`,
		"@ExtRocketMQConsumerConfiguration": `value nameServer accessChannel group topic messageModel selectorType selectorExpression accessKey secretKey
			pullBatchSize tlsEnable enableMsgTrace customizedTraceTopic namespace namespaceV2 instanceName`,
		"@RocketMQTransactionListener": `corePoolSize maximumPoolSize keepAliveTime keepAliveTimeUnit blockingQueueSize rocketMQTemplateBeanName`,
		"RocketMQTemplate": `syncSend syncSendOrderly asyncSend asyncSendOrderly sendOneWay sendOneWayOrderly syncSendDelayTimeSeconds
			syncSendDelayTimeMills syncSendDeliverTimeMills sendAndReceive sendMessageInTransaction receive setMessageQueueSelector getProducer
			getConsumer setCharset setAsyncSenderExecutor`,
	}
}

// Each name of rocketmq-spring has a row in the table of the heading that says where it
// is from.
func TestEveryNameOfRocketmqSpringHasARow(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "migrate-from-rocketmq-spring.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, all, found := strings.Cut(string(text), "\n## Every name\n")
	if !found {
		t.Fatal("the page has no section of every name")
	}
	for from, names := range springNames() {
		_, table, found := strings.Cut(all, "\n### "+from+"\n")
		table, _, _ = strings.Cut(table, "\n### ")
		if !found {
			t.Errorf("no table of %s", from)
		}
		var cells strings.Builder
		for _, row := range regexp.MustCompile(`(?m)^\| (.*?) \| .+ \|$`).FindAllStringSubmatch(table, -1) {
			cells.WriteString(row[1] + " ")
		}
		for name := range strings.FieldsSeq(names) {
			if !strings.Contains(cells.String(), "`"+name+"`") {
				t.Errorf("%s: %s has no row", from, name)
			}
		}
	}
	for _, m := range regexp.MustCompile("`(consumer|delay|message|producer|retry|txn)\\.([A-Z]\\w*)").FindAllStringSubmatch(all, -1) {
		if !exports(t, filepath.Join("..", "..", m[1]), m[2]) {
			t.Errorf("package %s has no %s", m[1], m[2])
		}
	}
}

// exports reports whether a package declares a function or a type.
func exports(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	declaration := regexp.MustCompile(`(?m)^(func|type) ` + name + `\b`)
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(file, "_test.go") && declaration.Match(source) {
			return true
		}
	}
	return false
}
