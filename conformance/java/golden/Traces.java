package golden;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.apache.rocketmq.client.AccessChannel;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.trace.TraceBean;
import org.apache.rocketmq.client.trace.TraceContext;
import org.apache.rocketmq.client.trace.TraceDataEncoder;
import org.apache.rocketmq.client.trace.TraceTransferBean;
import org.apache.rocketmq.client.trace.TraceType;
import org.apache.rocketmq.common.message.MessageType;

/** The records of the message trace, as TraceDataEncoder writes them. */
final class Traces {
    private Traces() {
    }

    static void write(Golden g) throws Exception {
        pub(g, "pub", bean("paid", "order-1 k2", MessageType.Normal_Msg), true);
        pub(g, "pub-bare", bean(null, null, MessageType.Delay_Msg), false);
        pub(g, "pub-half", bean("标签", "键", MessageType.Trans_Msg_Half), true);
        for (boolean success : new boolean[] {true, false}) {
            TraceContext c = context(TraceType.SubBefore, bean(null, "k1", MessageType.Normal_Msg));
            c.setRequestId("0A0000010001REQUEST");
            add(g, "sub-before-" + success, c, Golden.map("retryTimes", 2, "requestId", c.getRequestId(), "keys", "k1"));
            c = context(TraceType.SubAfter, bean(null, success ? "k1" : null, MessageType.Normal_Msg));
            c.setRequestId("0A0000010001REQUEST");
            c.setSuccess(success);
            c.setContextCode(success ? 0 : 4);
            c.setAccessChannel(AccessChannel.LOCAL);
            add(g, "sub-after-" + success, c, Golden.map("requestId", c.getRequestId(), "keys", success ? "k1" : null,
                "cost", 12, "success", success, "contextCode", c.getContextCode()));
        }
        for (LocalTransactionState state : LocalTransactionState.values()) {
            TraceBean b = bean("paid", "k1", MessageType.Trans_msg_Commit);
            b.setTransactionId(state == LocalTransactionState.UNKNOW ? null : b.getMsgId());
            b.setTransactionState(state);
            b.setFromTransactionCheck(state == LocalTransactionState.ROLLBACK_MESSAGE);
            add(g, "end-" + state, context(TraceType.EndTransaction, b), Golden.map("topic", b.getTopic(), "tags", "paid", "keys", "k1",
                "storeHost", b.getStoreHost(), "msgType", b.getMsgType().ordinal(), "transactionId", b.getTransactionId(),
                "transactionState", state.name(), "fromCheck", b.isFromTransactionCheck()));
        }
        if (g.is5()) {
            TraceContext c = context(TraceType.valueOf("Recall"), bean(null, null, MessageType.Normal_Msg));
            add(g, "recall", c, Golden.map("topic", "orders", "success", true));
        }
    }

    private static void pub(Golden g, String name, TraceBean b, boolean success) throws Exception {
        TraceContext c = context(TraceType.Pub, b);
        c.setSuccess(success);
        add(g, name, c, Golden.map("topic", b.getTopic(), "tags", b.getTags(), "keys", b.getKeys(), "storeHost", b.getStoreHost(),
            "bodyLength", b.getBodyLength(), "cost", 12, "msgType", b.getMsgType().ordinal(), "offsetMsgId", b.getOffsetMsgId(),
            "success", success));
    }

    private static TraceBean bean(String tags, String keys, MessageType type) {
        TraceBean b = new TraceBean();
        b.setTopic("orders");
        b.setMsgId("AC1100010001000000000000000000AA");
        b.setTags(tags);
        b.setKeys(keys);
        b.setStoreHost("10.0.0.1:10911");
        b.setBodyLength(42);
        b.setMsgType(type);
        b.setOffsetMsgId("0A00000100002A9F0000000000000001");
        b.setRetryTimes(2);
        return b;
    }

    private static TraceContext context(TraceType type, TraceBean b) {
        TraceContext c = new TraceContext();
        c.setTraceType(type);
        c.setTimeStamp(1_700_000_000_123L);
        c.setRegionId("DefaultRegion");
        c.setGroupName("shop");
        c.setCostTime(12);
        List<TraceBean> beans = new ArrayList<>();
        beans.add(b);
        c.setTraceBeans(beans);
        return c;
    }

    private static void add(Golden g, String name, TraceContext c, Map<String, Object> values) throws Exception {
        TraceTransferBean out = TraceDataEncoder.encoderFromContextBean(c);
        values.put("type", c.getTraceType().name());
        values.put("msgId", c.getTraceBeans().get(0).getMsgId());
        values.put("timestamp", c.getTimeStamp());
        values.put("group", c.getGroupName());
        if (c.getTraceType() != TraceType.SubAfter) {
            values.put("region", c.getRegionId());
        }
        values.put("transKeys", new ArrayList<>(new TreeSet<>(out.getTransKey())));
        g.add("trace-" + name, "trace", Golden.EXACT, Golden.utf8(out.getTransData()), values);
    }
}
