package golden;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.InflaterInputStream;
import org.apache.rocketmq.remoting.protocol.RemotingSerializable;

/** JSON bodies, in the dialect that each version's fastjson really writes. */
final class Bodies {
    static final long TS = 1700000000123L;

    private Bodies() {
    }

    static void write(Golden g) throws Exception {
        heartbeat(g);
        locks(g);
        stats(g);
        register(g);
        offsets(g);
        body(g, "body-38-response", Bean.of("header.GetConsumerListByGroupResponseBody")
            .set("consumerIdList", List.of("127.0.0.1@4242#1", "10.0.0.2@7#2")));
        body(g, "body-38-response-empty", Bean.of("header.GetConsumerListByGroupResponseBody")
            .set("consumerIdList", List.of()));
        body(g, "body-206-response", Bean.of("body.TopicList")
            .set("topicList", List.of("TBW102", "TopicTest", "%RETRY%GroupTest")));
        body(g, "body-28-response", Bean.of("body.KVTable").set("table", kv()));
        topicConfig(g);
    }

    static void body(Golden g, String name, Bean bean) throws Exception {
        body(g, name, bean, ((RemotingSerializable) bean.target()).encode(), null);
    }

    static void body(Golden g, String name, Bean bean, byte[] content, String note) throws Exception {
        g.add(name, "body", Golden.LOGICAL, content, bean.values(), note);
    }

    private static void heartbeat(Golden g) throws Exception {
        Bean all = subscription("TopicTest", "*", List.of(), List.of());
        Bean tags = subscription("OrderTopic", "a || 标签", List.of("a", "标签"), List.of("a".hashCode(), "标签".hashCode()));
        Bean retry = subscription("%RETRY%GroupTest", "*", List.of(), List.of());
        Bean push = Bean.of("heartbeat.ConsumerData").set("groupName", "GroupTest")
            .set("consumeType", "CONSUME_PASSIVELY").set("messageModel", "CLUSTERING")
            .set("consumeFromWhere", "CONSUME_FROM_LAST_OFFSET")
            .set("subscriptionDataSet", List.of(all, tags, retry)).set("unitMode", false);
        Bean pull = Bean.of("heartbeat.ConsumerData").set("groupName", "PullGroup")
            .set("consumeType", "CONSUME_ACTIVELY").set("messageModel", "BROADCASTING")
            .set("consumeFromWhere", "CONSUME_FROM_TIMESTAMP")
            .set("subscriptionDataSet", List.of()).set("unitMode", true);
        List<Object> producers = List.of(Bean.of("heartbeat.ProducerData").set("groupName", "PayGroup"),
            Bean.of("heartbeat.ProducerData").set("groupName", "CLIENT_INNER_PRODUCER"));
        body(g, "body-34-request", Bean.of("heartbeat.HeartbeatData").set("clientID", "127.0.0.1@4242#1")
            .set("producerDataSet", producers).set("consumerDataSet", List.of(push, pull)));
        body(g, "body-34-request-producer-only", Bean.of("heartbeat.HeartbeatData").set("clientID", "127.0.0.1@4242#1")
            .set("producerDataSet", producers).set("consumerDataSet", List.of()));
        Bean v2 = Bean.of("heartbeat.HeartbeatData").set("clientID", "127.0.0.1@4242#1");
        if (v2.has("heartbeatFingerprint")) {
            body(g, "body-34-request-v2", v2.set("producerDataSet", producers).set("consumerDataSet", List.of(push))
                .set("heartbeatFingerprint", -1234567).set("isWithoutSub", false));
            Bean without = Bean.of("heartbeat.ConsumerData").set("groupName", "GroupTest")
                .set("consumeType", "CONSUME_PASSIVELY").set("messageModel", "CLUSTERING")
                .set("consumeFromWhere", "CONSUME_FROM_LAST_OFFSET").set("subscriptionDataSet", List.of());
            body(g, "body-34-request-v2-without-sub", Bean.of("heartbeat.HeartbeatData")
                .set("clientID", "127.0.0.1@4242#1").set("producerDataSet", List.of())
                .set("consumerDataSet", List.of(without)).set("heartbeatFingerprint", -1234567)
                .set("isWithoutSub", true));
        }
    }

    static Bean subscription(String topic, String expression, List<String> tags, List<Integer> codes)
        throws Exception {
        return Bean.of("heartbeat.SubscriptionData").set("topic", topic).set("subString", expression)
            .set("tagsSet", tags).set("codeSet", codes).set("subVersion", TS).set("expressionType", "TAG")
            .set("classFilterMode", false);
    }

    private static Bean queue(String topic, String broker, int id) throws Exception {
        return Bean.of("message.MessageQueue").set("topic", topic).set("brokerName", broker).set("queueId", id);
    }

    private static void locks(Golden g) throws Exception {
        List<Object> queues = List.of(queue("TopicTest", "broker-a", 0), queue("TopicTest", "broker-b", 1));
        body(g, "body-41-request", Bean.of("body.LockBatchRequestBody").set("consumerGroup", "GroupTest")
            .set("clientId", "127.0.0.1@4242#1").setIfKnown("onlyThisBroker", false).set("mqSet", queues));
        body(g, "body-41-response", Bean.of("body.LockBatchResponseBody").set("lockOKMQSet", queues));
        body(g, "body-41-response-none", Bean.of("body.LockBatchResponseBody").set("lockOKMQSet", List.of()));
        body(g, "body-42-request", Bean.of("body.UnlockBatchRequestBody").set("consumerGroup", "GroupTest")
            .set("clientId", "127.0.0.1@4242#1").setIfKnown("onlyThisBroker", false).set("mqSet", queues));
    }

    private static void stats(Golden g) throws Exception {
        Map<Object, Object> topic = new LinkedHashMap<>();
        Map<Object, Object> group = new LinkedHashMap<>();
        for (int i = 0; i < 3; i++) {
            topic.put(queue("TopicTest", "broker-a", i), Bean.of("admin.TopicOffset").set("minOffset", i)
                .set("maxOffset", 100L + i).set("lastUpdateTimestamp", TS + i));
            group.put(queue("TopicTest", "broker-a", i), Bean.of("admin.OffsetWrapper")
                .set("brokerOffset", 100L + i).set("consumerOffset", 90L + i).setIfKnown("pullOffset", 95L + i)
                .set("lastTimestamp", TS + i));
        }
        body(g, "body-202-response", Bean.of("admin.TopicStatsTable").set("offsetTable", topic)
            .setIfKnown("topicPutTps", 12.5));
        body(g, "body-202-response-empty", Bean.of("admin.TopicStatsTable").set("offsetTable", Map.of()));
        body(g, "body-208-response", Bean.of("admin.ConsumeStats").set("offsetTable", group).set("consumeTps", 0.1));
        body(g, "body-208-response-empty", Bean.of("admin.ConsumeStats").set("offsetTable", Map.of()));
    }

    private static void offsets(Golden g) throws Exception {
        Map<Object, Object> one = new LinkedHashMap<>();
        one.put(queue("TopicTest", "broker-a", 0), 5L);
        Map<Object, Object> two = new LinkedHashMap<>();
        two.put(queue("TopicTest", "broker-a", 0), 5L);
        two.put(queue("TopicTest", "broker-b", 7), 9223372036854775807L);
        body(g, "body-220-request", Bean.of("body.ResetOffsetBody").set("offsetTable", one));
        body(g, "body-220-request-two", Bean.of("body.ResetOffsetBody").set("offsetTable", two));
        body(g, "body-221-response", Bean.of("body.GetConsumerStatusBody").set("messageQueueTable", two));
        Map<Object, Object> clients = new LinkedHashMap<>();
        clients.put("127.0.0.1@4242#1", one);
        body(g, "body-223-response", Bean.of("body.GetConsumerStatusBody").set("consumerTable", clients));
    }

    private static Bean topic(String name, int queues) throws Exception {
        return Bean.of("TopicConfig").set("topicName", name).set("readQueueNums", queues)
            .set("writeQueueNums", queues).set("perm", 6).set("topicFilterType", "SINGLE_TAG")
            .set("topicSysFlag", 0).set("order", false);
    }

    private static void topicConfig(Golden g) throws Exception {
        if (!g.is5()) {
            return; // code 351 came with 5.0
        }
        Map<Object, Object> attributes = new LinkedHashMap<>();
        attributes.put("message.type", "DELAY");
        Bean with = Bean.of("statictopic.TopicConfigAndQueueMapping").set("topicName", "TopicTest")
            .set("readQueueNums", 8).set("writeQueueNums", 8).set("perm", 6).set("topicFilterType", "SINGLE_TAG")
            .set("topicSysFlag", 0).set("order", true).set("attributes", attributes);
        g.add("body-351-response", "body", Golden.LOGICAL, RemotingSerializable.encode(with.target()), with.values(), null);
    }

    /** The body of 103 in both shapes; the manifest holds the inflated bytes of the compressed one. */
    private static void register(Golden g) throws Exception {
        Bean a = topic("TopicTest", 8);
        Bean b = topic("TBW102", 8);
        if (a.has("attributes")) {
            Map<Object, Object> attributes = new LinkedHashMap<>();
            attributes.put("message.type", "FIFO");
            a.set("attributes", attributes);
        }
        Map<Object, Object> table = new LinkedHashMap<>();
        table.put("TopicTest", a);
        table.put("TBW102", b);
        Bean wrapper = Bean.of(g.is5() ? "body.TopicConfigAndMappingSerializeWrapper" : "body.TopicConfigSerializeWrapper")
            .set("topicConfigTable", table).set("dataVersion", dataVersion());
        if (wrapper.has("mappingDataVersion")) {
            wrapper.set("mappingDataVersion", dataVersion());
        }
        Bean body = Bean.of("body.RegisterBrokerBody").set("topicConfigSerializeWrapper", wrapper)
            .set("filterServerList", List.of());
        byte[] plain = (byte[]) body.target().getClass().getMethod("encode", boolean.class).invoke(body.target(), false);
        body(g, "body-103-request", body, plain, null);
        byte[] packed = (byte[]) body.target().getClass().getMethod("encode", boolean.class).invoke(body.target(), true);
        Map<String, Object> v = new LinkedHashMap<>(body.values());
        v.put("inflatedHex", Golden.hex(inflate(packed)));
        g.add("body-103-request-compressed", "deflated", Golden.COMPRESSED, packed, v,
            "zlib; after the filter servers 5.x writes the number of static topic mappings, 4.9 ends there");
        Bean kvs = Bean.of("body.KVTable").set("table", Map.of());
        body(g, "body-103-response", kvs);
    }

    static byte[] inflate(byte[] packed) throws Exception {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        new InflaterInputStream(new ByteArrayInputStream(packed)).transferTo(out);
        return out.toByteArray();
    }

    static Bean dataVersion() throws Exception {
        return Bean.of("DataVersion").setIfKnown("stateVersion", 0L).set("timestamp", TS).set("counter", 42);
    }

    private static Map<Object, Object> kv() {
        Map<Object, Object> m = new LinkedHashMap<>();
        for (String[] e : Arrays.asList(new String[] {"brokerVersionDesc", "V5_4_0"},
            new String[] {"bootTimestamp", "1700000000123"}, new String[] {"quote\"key", "back\\slash 中文"})) {
            m.put(e[0], e[1]);
        }
        return m;
    }
}
