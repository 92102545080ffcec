package golden;

import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentSkipListMap;
import org.apache.rocketmq.client.consumer.AllocateMessageQueueStrategy;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMachineRoomNearby;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragelyByCircle;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueByMachineRoom;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueConsistentHash;
import org.apache.rocketmq.common.MQVersion;
import org.apache.rocketmq.common.MixAll;
import org.apache.rocketmq.common.UtilAll;
import org.apache.rocketmq.common.message.MessageClientIDSetter;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.common.topic.TopicValidator;
import org.apache.rocketmq.remoting.protocol.LanguageCode;
import org.apache.rocketmq.remoting.protocol.RemotingSerializable;
import org.apache.rocketmq.store.config.MessageStoreConfig;

/** Small functions of the protocol, as tables of input and output. */
final class Tables {
    private Tables() {
    }

    static void write(Golden g) throws Exception {
        tags(g);
        subscriptions(g);
        delayLevels(g);
        uniqueIds(g);
        names(g);
        namespaces(g);
        numbers(g);
        allocations(g);
        if (g.is5()) {
            recallHandles(g);
        }
    }

    /** How strategies share queues of brokers room1@a and room2@b among members room1-0, room2-1 and so on. */
    private static void allocations(Golden g) throws Exception {
        AllocateMessageQueueByMachineRoom rooms = new AllocateMessageQueueByMachineRoom();
        rooms.setConsumeridcs(Set.of("room1"));
        AllocateMachineRoomNearby nearby = new AllocateMachineRoomNearby(new AllocateMessageQueueAveragely(), new AllocateMachineRoomNearby.MachineRoomResolver() {
            @Override
            public String brokerDeployIn(MessageQueue mq) {
                return mq.getBrokerName().split("@")[0];
            }

            @Override
            public String consumerDeployIn(String id) {
                return id.split("-")[0];
            }
        });
        List<Object> rows = new ArrayList<>();
        for (AllocateMessageQueueStrategy s : List.of(new AllocateMessageQueueAveragely(), new AllocateMessageQueueAveragelyByCircle(),
            new AllocateMessageQueueConsistentHash(), rooms, nearby)) {
            for (int queues : new int[] {1, 3, 8}) {
                for (int members = 1; members <= 4; members++) {
                    List<MessageQueue> all = new ArrayList<>();
                    for (String broker : List.of("room1@a", "room2@b")) {
                        for (int i = 0; i < queues; i++) {
                            all.add(new MessageQueue("orders", broker, i));
                        }
                    }
                    List<String> ids = new ArrayList<>();
                    for (int i = 0; i < members; i++) {
                        ids.add("room" + (1 + i % 2) + "-" + i);
                    }
                    ids.sort(null);
                    List<Object> shares = new ArrayList<>();
                    for (String id : ids) {
                        List<String> share = new ArrayList<>();
                        s.allocate("group", id, all, ids).forEach(q -> share.add(q.getBrokerName() + " " + q.getQueueId()));
                        shares.add(share);
                    }
                    rows.add(Golden.map("strategy", s.getName(), "queues", queues, "members", ids, "shares", shares));
                }
            }
        }
        g.table("table-allocations", rows, "AllocateMessageQueueStrategy; queues of each broker");
    }

    private static void tags(Golden g) throws Exception {
        List<Object> rows = new ArrayList<>();
        for (String tag : new String[] {"", "a", "tag1", "TagA", "*", "a || b", "标签", "支付成功", "😀", "a😀b", "é", "e\u0301",
            "polygenelubricants", "x".repeat(100)}) {
            rows.add(Golden.map("tag", tag, "hash", tag.hashCode(), "tagsCode", tag.isEmpty() ? 0L : (long) tag.hashCode()));
        }
        g.table("table-tags", rows, "String.hashCode over UTF-16 units; a consume queue holds it widened to 64 bits");
    }

    private static void subscriptions(Golden g) throws Exception {
        Class<?> api = Bean.find("filter.FilterAPI");
        Method build = api.getMethod("build", String.class, String.class, String.class);
        List<Object> rows = new ArrayList<>();
        String[] expressions = {"*", "", null, "a", "a || b", "a||b", "  a  ||  b  ", "a ||", "|| a", "a || || b", "a|b", "a || a",
            " ", " || ", "* || a", "标签 || 😀", "a\t||\nb", "||"};
        for (String expression : expressions) {
            Object sub;
            try {
                sub = build.invoke(null, "TopicTest", expression, "TAG");
            } catch (java.lang.reflect.InvocationTargetException e) {
                rows.add(Golden.map("expression", expression, "error", e.getCause().getMessage()));
                continue;
            }
            Bean.put(sub, "subVersion", Bodies.TS);
            rows.add(Golden.map("expression", expression, "subString", Bean.get(sub, "subString"),
                "tags", new TreeSet<>((java.util.Collection<?>) Bean.get(sub, "tagsSet")),
                "codes", new TreeSet<>((java.util.Collection<?>) Bean.get(sub, "codeSet")),
                "json", RemotingSerializable.toJson(sub, false)));
        }
        g.table("table-subscriptions", rows, "FilterAPI.build and its JSON; the order inside tagsSet and codeSet is a hash table's");
    }

    /** Runs the broker's own parser on a service that is otherwise never built. */
    private static void delayLevels(Golden g) throws Exception {
        Field theUnsafe = Class.forName("sun.misc.Unsafe").getDeclaredField("theUnsafe");
        theUnsafe.setAccessible(true);
        sun.misc.Unsafe unsafe = (sun.misc.Unsafe) theUnsafe.get(null);
        String owner = g.is5() ? "org.apache.rocketmq.broker.BrokerController" : "org.apache.rocketmq.store.DefaultMessageStore";
        Class<?> service = Class.forName(g.is5() ? "org.apache.rocketmq.broker.schedule.ScheduleMessageService"
            : "org.apache.rocketmq.store.schedule.ScheduleMessageService");
        List<Object> rows = new ArrayList<>();
        String standard = new MessageStoreConfig().getMessageDelayLevel();
        for (String text : new String[] {standard, "1s", "500s 2d", "0s", "1s  5s", "1S", "s", "", "-1s 5s", "10"}) {
            MessageStoreConfig config = new MessageStoreConfig();
            config.setMessageDelayLevel(text);
            Object parent = unsafe.allocateInstance(Class.forName(owner));
            Bean.put(parent, "messageStoreConfig", config);
            Object parser = unsafe.allocateInstance(service);
            Map<Integer, Long> table = new ConcurrentSkipListMap<>();
            Bean.field(service, "delayLevelTable").set(parser, table);
            Bean.put(parser, g.is5() ? "brokerController" : "defaultMessageStore", parent);
            boolean ok = (Boolean) service.getMethod("parseDelayLevel").invoke(parser);
            rows.add(Golden.map("text", text, "ok", ok, "millis", new ArrayList<>(table.values())));
        }
        g.table("table-delay-levels", rows, "ScheduleMessageService.parseDelayLevel; the first row is Apache's default");
    }

    private static void uniqueIds(Golden g) throws Exception {
        List<Object> rows = new ArrayList<>();
        for (String id : new String[] {"7F0000011092B4AAC21E0A1B2C3D00A1", "C0A80102FFFFDEADBEEF00000000FFFF",
            "20010DB800000000000000000000000A1092B4AAC21E0A1B2C3D00A1"}) {
            rows.add(Golden.map("id", id, "ip", MessageClientIDSetter.getIPStrFromID(id),
                "pid", MessageClientIDSetter.getPidFromID(id), "bytesHex", Golden.hex(UtilAll.string2bytes(id))));
        }
        String made = MessageClientIDSetter.createUniqID();
        if (made.length() != 32 && made.length() != 56) {
            throw new IllegalStateException("a unique id of " + made.length() + " characters");
        }
        g.table("table-unique-ids", rows, "MessageClientIDSetter; ip, pid (2), class loader (4), ms of the month (4), counter (2)");
    }

    private static void names(Golden g) throws Exception {
        List<Object> rows = new ArrayList<>();
        for (String topic : new String[] {"TopicTest", "", " ", "a b", "a.b", "a/b", "a|b", "%RETRY%g", "%DLQ%g", "中文", "a_b-c",
            "T".repeat(127), "T".repeat(128), "%RETRY%" + "G".repeat(120), "%RETRY%" + "G".repeat(248), "%RETRY%" + "G".repeat(249)}) {
            rows.add(Golden.map("topic", topic, "valid", valid(topic), "system", TopicValidator.isSystemTopic(topic)));
        }
        g.table("table-topic-names", rows, "TopicValidator.validateTopic");
        rows = new ArrayList<>();
        for (String topic : TopicValidator.getSystemTopicSet().stream().sorted().toArray(String[]::new)) {
            rows.add(Golden.map("topic", topic, "sendForbidden", TopicValidator.isNotAllowedSendTopic(topic)));
        }
        g.table("table-system-topics", rows, "TopicValidator; a broker adds its own, and 5.x everything that begins with rmq_sys_");
        rows = List.of(Golden.map("group", "GroupTest", "retry", MixAll.getRetryTopic("GroupTest"), "dlq", MixAll.getDLQTopic("GroupTest")));
        g.table("table-group-topics", rows, "MixAll");
    }

    /** What a topic or group is called inside a namespace and outside. */
    private static void namespaces(Golden g) throws Exception {
        Class<?> util = Bean.type("NamespaceUtil");
        Method wrap = util.getMethod("wrapNamespace", String.class, String.class);
        Method unwrap = util.getMethod("withoutNamespace", String.class, String.class);
        List<String> names = new ArrayList<>(List.of("", "orders", "ns%orders", "other%orders", "n%orders", "nsx%orders", "ns", "ns%", "%", "%orders",
            "ns%ns%orders", "%RETRY%pay", "%RETRY%ns%pay", "%RETRY%other%pay", "%DLQ%pay", "%DLQ%ns%pay", "%RETRY%", "%DLQ%", "%RETRY%ns%", "%RETRY%%DLQ%pay",
            "%RETRY%CID_RMQ_SYS_X", "CID_RMQ_SYS_X", "CID_RMQ_SYS_", "CID_RMQ", "rmq_sys_wheel_timer", "RMQ_SYS_TRACE_TOPIC", "ns%TBW102",
            "DefaultCluster_REPLY_TOPIC", "TOOLS_CONSUMER", "DEFAULT_PRODUCER"));
        TopicValidator.getSystemTopicSet().stream().sorted().forEach(names::add);
        List<Object> rows = new ArrayList<>();
        for (String ns : new String[] {"", "ns", "MQ_INST_1"}) {
            for (String name : names) {
                rows.add(Golden.map("namespace", ns, "name", name, "with", wrap.invoke(null, ns, name), "without", unwrap.invoke(null, name, ns)));
            }
        }
        g.table("table-namespaces", rows, "NamespaceUtil");
    }

    private static Object valid(String topic) throws Exception {
        for (Method m : TopicValidator.class.getMethods()) {
            if (m.getName().equals("validateTopic") && m.getParameterCount() == 1) {
                Object result = m.invoke(null, topic);
                return result instanceof Boolean ? result : result.getClass().getMethod("isValid").invoke(result);
            }
        }
        // 4.9 answers by filling in a response
        Class<?> command = Class.forName("org.apache.rocketmq.remoting.protocol.RemotingCommand");
        Object response = command.getMethod("createResponseCommand", int.class, String.class).invoke(null, 0, null);
        return TopicValidator.class.getMethod("validateTopic", String.class, command).invoke(null, topic, response);
    }

    private static void numbers(Golden g) throws Exception {
        List<Object> rows = new ArrayList<>();
        for (String name : Arrays.asList("V3_0_11", "V4_1_0_SNAPSHOT", "V4_1_0", "V4_9_4", "V4_9_7", "V5_0_0", "V5_1_1", "V5_3_3", "V5_4_0")) {
            rows.add(Golden.map("version", name, "ordinal", MQVersion.Version.valueOf(name).ordinal()));
        }
        g.table("table-versions", rows, "MQVersion");
        rows = new ArrayList<>();
        for (LanguageCode code : LanguageCode.values()) {
            rows.add(Golden.map("language", code.name(), "code", (int) code.getCode()));
        }
        g.table("table-languages", rows, "LanguageCode");
        g.table("table-request-codes", constants("RequestCode"), "RequestCode");
        g.table("table-response-codes", constants("ResponseCode"), "ResponseCode and its parent RemotingSysResponseCode");
    }

    private static List<Object> constants(String type) throws Exception {
        Map<String, Integer> sorted = new TreeMap<>();
        for (Field f : Bean.type(type).getFields()) {
            if (f.getType() == int.class) {
                sorted.put(f.getName(), f.getInt(null));
            }
        }
        List<Object> rows = new ArrayList<>();
        sorted.forEach((name, code) -> rows.add(Golden.map("name", name, "code", code)));
        return rows;
    }

    private static void recallHandles(Golden g) throws Exception {
        Method build = Class.forName("org.apache.rocketmq.common.producer.RecallMessageHandle$HandleV1")
            .getMethod("buildHandle", String.class, String.class, String.class, String.class);
        List<Object> rows = new ArrayList<>();
        String[][] in = {{"TopicTest", "broker-a", "1700000000123", "7F0000010001B4AAC21E0000000000A1"},
            {"中文?>", "broker-b", "1", "id"}};
        for (String[] s : in) {
            rows.add(Golden.map("topic", s[0], "broker", s[1], "timestamp", s[2], "id", s[3],
                "handle", build.invoke(null, s[0], s[1], s[2], s[3])));
        }
        g.table("table-recall-handles", rows, "RecallMessageHandle.HandleV1");
    }
}
