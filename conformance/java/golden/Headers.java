package golden;

import java.lang.annotation.Annotation;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.remoting.CommandCustomHeader;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.SerializeType;

/**
 * Every request and response header of the codes that rocketkit speaks: full (all fields set) in both codecs, and
 * least (only what Apache marks as required, and primitives) in JSON.
 */
final class Headers {
    private static final Object[][] REQUESTS = {
        {10, "header.SendMessageRequestHeader"}, {310, "header.SendMessageRequestHeaderV2"},
        {320, "header.SendMessageRequestHeaderV2"}, {11, "header.PullMessageRequestHeader"},
        {14, "header.QueryConsumerOffsetRequestHeader"}, {15, "header.UpdateConsumerOffsetRequestHeader"},
        {17, "header.CreateTopicRequestHeader"}, {29, "header.SearchOffsetRequestHeader"},
        {30, "header.GetMaxOffsetRequestHeader"}, {31, "header.GetMinOffsetRequestHeader"},
        {32, "header.GetEarliestMsgStoretimeRequestHeader"}, {33, "header.ViewMessageRequestHeader"},
        {34, "header.HeartbeatRequestHeader"}, {35, "header.UnregisterClientRequestHeader"},
        {36, "header.ConsumerSendMsgBackRequestHeader"}, {37, "header.EndTransactionRequestHeader"},
        {38, "header.GetConsumerListByGroupRequestHeader"}, {39, "header.CheckTransactionStateRequestHeader"},
        {40, "header.NotifyConsumerIdsChangedRequestHeader"}, {41, "header.LockBatchMqRequestHeader"},
        {42, "header.UnlockBatchMqRequestHeader"}, {103, "header.namesrv.RegisterBrokerRequestHeader"},
        {104, "header.namesrv.UnRegisterBrokerRequestHeader"}, {105, "header.namesrv.GetRouteInfoRequestHeader"},
        {202, "header.GetTopicStatsInfoRequestHeader"}, {208, "header.GetConsumeStatsRequestHeader"},
        {220, "header.ResetOffsetRequestHeader"}, {221, "header.GetConsumerStatusRequestHeader"},
        {351, "header.GetTopicConfigRequestHeader"},
    };

    private static final Object[][] RESPONSES = {
        {310, "header.SendMessageResponseHeader"}, {11, "header.PullMessageResponseHeader"},
        {14, "header.QueryConsumerOffsetResponseHeader"}, {29, "header.SearchOffsetResponseHeader"},
        {30, "header.GetMaxOffsetResponseHeader"}, {31, "header.GetMinOffsetResponseHeader"},
        {32, "header.GetEarliestMsgStoretimeResponseHeader"}, {103, "header.namesrv.RegisterBrokerResponseHeader"},
    };

    private Headers() {
    }

    static void write(Golden g) throws Exception {
        for (Object[] r : REQUESTS) {
            write(g, "request", (Integer) r[0], (String) r[1]);
        }
        for (Object[] r : RESPONSES) {
            write(g, "response", (Integer) r[0], (String) r[1]);
        }
    }

    private static void write(Golden g, String side, int code, String type) throws Exception {
        Class<?> c = Bean.find(type);
        if (c == null) {
            return; // this version sends the code without a header
        }
        String name = "header-" + code + "-" + side;
        add(g, name + "-json", side, code, c, SerializeType.JSON, false);
        add(g, name + "-binary", side, code, c, SerializeType.ROCKETMQ, false);
        add(g, name + "-least", side, code, c, SerializeType.JSON, true);
    }

    private static void add(Golden g, String name, String side, int code, Class<?> c, SerializeType codec,
        boolean least) throws Exception {
        CommandCustomHeader header = (CommandCustomHeader) c.getDeclaredConstructor().newInstance();
        Map<String, Object> values = values(code, side);
        Map<String, Object> fields = new LinkedHashMap<>();
        for (Field f : fields(c)) {
            f.setAccessible(true);
            if (!least || required(f)) {
                Object v = values.get(f.getName());
                if (v == null) {
                    throw new IllegalStateException("no value for " + c.getName() + "." + f.getName());
                }
                Bean.put(header, f.getName(), v);
            }
            Object set = f.get(header);
            if (set != null) {
                fields.put(f.getName(), set instanceof Enum ? set.toString() : set);
            }
        }
        RemotingCommand cmd;
        if (side.equals("request")) {
            cmd = RemotingCommand.createRequestCommand(code, header);
        } else {
            cmd = RemotingCommand.createResponseCommand(0, null);
            cmd.writeCustomHeader(header);
        }
        cmd.setOpaque(1000 + code);
        cmd.setVersion(Frames.VERSION);
        if (code == 10 || code == 310 || (code == 11 && side.equals("response"))) {
            cmd.setBody(Golden.utf8("Hello rocketmq = 你好"));
        }
        Frames.add(g, name, cmd, codec, null, c.getSimpleName(), fields);
    }

    private static boolean required(Field f) {
        if (f.getType().isPrimitive()) {
            return false;
        }
        for (Annotation a : f.getAnnotations()) {
            if (a.annotationType().getSimpleName().equals("CFNotNull")) {
                return true;
            }
        }
        return false;
    }

    /** The fields in declared order, the class before its parents: reflection keeps source order on every JDK we use. */
    private static List<Field> fields(Class<?> c) {
        List<Field> list = new ArrayList<>();
        for (; c != Object.class; c = c.getSuperclass()) {
            for (Field f : c.getDeclaredFields()) {
                if (!Modifier.isStatic(f.getModifiers()) && list.stream().noneMatch(o -> o.getName().equals(f.getName()))) {
                    list.add(f);
                }
            }
        }
        return list;
    }

    private static Map<String, Object> values(int code, String side) {
        Map<String, Object> v = new HashMap<>();
        // names shared by the headers
        v.put("topic", "TopicTest");
        v.put("queueId", 3);
        v.put("consumerGroup", "GroupTest");
        v.put("producerGroup", "PayGroup");
        v.put("group", "GroupTest");
        v.put("offset", 4294967297L);
        v.put("msgId", side.equals("response") ? "7F00000100002A9F0000000000000171" : "7F0000010001B4AAC21E0000000000A1");
        v.put("transactionId", "7F0000010001B4AAC21E0000000000A1");
        v.put("unitMode", true);
        v.put("maxReconsumeTimes", 16);
        v.put("timestamp", 1700000000123L);
        v.put("properties", "KEYS\u0001k1 k2\u0002TAGS\u0001标签\u0002WAIT\u0001true\u0002");
        v.put("sysFlag", code == 11 ? 7 : 1);
        v.put("queueOffset", 1234567890123L);
        v.put("commitOffset", 41L);
        // the parents of 5.x headers
        v.put("ns", "ns1");
        v.put("nsd", true);
        v.put("bname", "broker-a");
        v.put("oway", false);
        v.put("lo", true);
        // 10, V2 below
        v.put("defaultTopic", "TBW102");
        v.put("defaultTopicQueueNums", 4);
        v.put("bornTimestamp", 1700000000001L);
        v.put("flag", 5);
        v.put("reconsumeTimes", 2);
        v.put("batch", false);
        v.put("a", "PayGroup");
        v.put("b", "TopicTest");
        v.put("c", "TBW102");
        v.put("d", 4);
        v.put("e", 3);
        v.put("f", 1);
        v.put("g", 1700000000001L);
        v.put("h", 5);
        v.put("i", v.get("properties"));
        v.put("j", 2);
        v.put("k", true);
        v.put("l", 16);
        v.put("m", code == 320);
        v.put("n", "broker-a");
        v.put("batchUniqId", "7F0000010001B4AAC21E0000000000B2");
        v.put("recallHandle", "djEgVG9waWNUZXN0");
        // 11
        v.put("maxMsgNums", 32);
        v.put("suspendTimeoutMillis", 15000L);
        v.put("subscription", "a || b");
        v.put("subVersion", 1700000000002L);
        v.put("expressionType", "TAG");
        v.put("maxMsgBytes", 262144);
        v.put("requestSource", 0);
        v.put("proxyFrowardClientId", "127.0.0.1@proxy");
        v.put("suggestWhichBrokerId", 0L);
        v.put("nextBeginOffset", 42L);
        v.put("minOffset", 1L);
        v.put("maxOffset", 99L);
        v.put("offsetDelta", 0L);
        v.put("topicSysFlag", 1);
        v.put("groupSysFlag", 2);
        v.put("forbiddenType", 3);
        // 14, 29, 30
        v.put("setZeroIfNotFound", false);
        v.put("boundaryType", "UPPER");
        v.put("committed", true);
        // 17
        v.put("readQueueNums", 8);
        v.put("writeQueueNums", 8);
        v.put("perm", 6);
        v.put("topicFilterType", "SINGLE_TAG");
        v.put("order", false);
        v.put("attributes", "+message.type=NORMAL");
        v.put("force", false);
        // 35 to 39
        v.put("clientID", "127.0.0.1@4242#1");
        v.put("delayLevel", 3);
        v.put("originMsgId", "7F0000010001B4AAC21E0000000000A1");
        v.put("originTopic", "TopicTest");
        v.put("tranStateTableOffset", 77L);
        v.put("commitLogOffset", 369L);
        v.put("commitOrRollback", 8);
        v.put("fromTransactionCheck", true);
        v.put("offsetMsgId", "7F00000100002A9F0000000000000171");
        // name server
        v.put("brokerName", "broker-a");
        v.put("brokerAddr", "127.0.0.1:10911");
        v.put("clusterName", "DefaultCluster");
        v.put("haServerAddr", "127.0.0.1:10912");
        v.put("masterAddr", "127.0.0.1:10911");
        v.put("brokerId", 0L);
        v.put("heartbeatTimeoutMillis", 120000L);
        v.put("enableActingMaster", false);
        v.put("compressed", true);
        v.put("bodyCrc32", 1985229328);
        v.put("acceptStandardJsonOnly", true);
        // 208, 220, 221
        v.put("topicList", "TopicTest;%RETRY%GroupTest");
        v.put("isForce", true);
        v.put("clientAddr", "");
        return v;
    }
}
