package peer;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.trace.TraceBean;
import org.apache.rocketmq.client.trace.TraceContext;
import org.apache.rocketmq.client.trace.TraceDataEncoder;
import org.apache.rocketmq.client.trace.TraceType;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Messages that are found by a key, and traces, which are messages that are found by their key. */
final class QueryCases {
    private static final String TRACE_TOPIC = "RMQ_SYS_TRACE_TOPIC";

    private QueryCases() {
    }

    static void add(Map<String, Peer.Case> m) {
        m.put("trace", env -> trace(env, null));
        m.put("trace-own-topic", env -> trace(env, env.topic() + "_trace"));
        m.put("query-by-key", QueryCases::byKey);
        m.put("query-by-time", QueryCases::byTime);
        m.put("query-by-unique-key", QueryCases::byUniqueKey);
    }

    private static Message keyed(Env env, String keys, String body) {
        return new Message(env.topic(), "tag", keys, body.getBytes(StandardCharsets.UTF_8));
    }

    /** What a query finds, by age; an exception says that it is nothing. */
    private static List<MessageExt> query(DefaultMQProducer p, String topic, String key, int max, long begin, long end)
        throws Exception {
        QueryResult r;
        try {
            r = p.queryMessage(topic, key, max, begin, end);
        } catch (MQClientException none) {
            return List.of();
        }
        return new ArrayList<>(r.getMessageList());
    }

    private static List<String> bodies(List<MessageExt> messages) {
        List<String> list = new ArrayList<>();
        for (MessageExt m : messages) {
            list.add(Env.body(m));
        }
        return list;
    }

    /** The index may be a little behind the log. */
    private static void awaitBodies(Env env, DefaultMQProducer p, String key, int max, long begin, long end,
        String... want) throws Exception {
        List<String> wanted = List.of(want);
        List<String> got = new ArrayList<>();
        env.await("messages " + wanted + " by key " + key, 10_000, () -> {
            got.clear();
            got.addAll(bodies(query(p, env.topic(), key, max, begin, end)));
            return got.equals(wanted);
        });
    }

    private static void byKey(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 4);
        for (int i = 0; i < 6; i++) {
            env.send(p, keyed(env, "every k" + i % 3, "m" + i));
        }
        awaitBodies(env, p, "every", 32, 0, Long.MAX_VALUE, "m0", "m1", "m2", "m3", "m4", "m5");
        awaitBodies(env, p, "k1", 32, 0, Long.MAX_VALUE, "m1", "m4");
        awaitBodies(env, p, "every", 2, 0, Long.MAX_VALUE, "m4", "m5"); // the newest
        MessageExt m = query(p, env.topic(), "k2", 32, 0, Long.MAX_VALUE).get(0);
        Env.equal("topic", env.topic(), m.getTopic());
        Env.equal("keys", "every k2", m.getKeys());
        Env.equal("tags", "tag", m.getTags());
        Env.equal("messages of no key", List.of(), query(p, env.topic(), "k3", 32, 0, Long.MAX_VALUE));
        Env.equal("messages of two keys as one", List.of(), query(p, env.topic(), "every k2", 32, 0, Long.MAX_VALUE));
        try {
            p.queryMessage(env.topic(), "k3", 32, 0, Long.MAX_VALUE);
            throw new Peer.Mismatch("a query that finds nothing has a result");
        } catch (MQClientException none) {
            Env.check(none.getMessage().contains("no message"), "it says " + none.getMessage());
        }
    }

    /** Apache knows the times of its index to a second. */
    private static void byTime(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 1);
        long[] stored = new long[3];
        for (int i = 0; i < 3; i++) {
            if (i > 0) {
                Thread.sleep(2500);
            }
            SendResult r = env.send(p, keyed(env, "k", "m" + i));
            stored[i] = p.viewMessage(env.topic(), r.getOffsetMsgId()).getStoreTimestamp();
        }
        awaitBodies(env, p, "k", 32, stored[0] - 1100, stored[2], "m0", "m1", "m2");
        awaitBodies(env, p, "k", 32, stored[1] - 1100, stored[1], "m1");
        awaitBodies(env, p, "k", 32, 0, stored[1], "m0", "m1");
        awaitBodies(env, p, "k", 32, stored[1] - 1100, Long.MAX_VALUE, "m1", "m2");
        awaitBodies(env, p, "k", 1, 0, stored[1], "m1");
        Env.equal("messages of an hour ago", List.of(),
            query(p, env.topic(), "k", 32, stored[0] - 3_600_000, stored[0] - 3_000_000));
        QueryResult r = p.queryMessage(env.topic(), "k", 32, 0, Long.MAX_VALUE);
        Env.check(r.getIndexLastUpdateTimestamp() >= stored[2],
            "the index was updated at " + r.getIndexLastUpdateTimestamp() + ", the last message stored at " + stored[2]);
    }

    private static void byUniqueKey(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 4);
        List<SendResult> sent = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            sent.add(env.send(p, keyed(env, "k", "m" + i)));
        }
        for (int i = 0; i < 3; i++) {
            SendResult r = sent.get(i);
            env.await("message by its unique key", 10_000, () -> {
                try {
                    return p.viewMessage(env.topic(), r.getMsgId()) != null;
                } catch (MQClientException none) {
                    return false;
                }
            });
            MessageExt m = p.viewMessage(env.topic(), r.getMsgId());
            Env.equal("body", "m" + i, Env.body(m));
            Env.equal("unique key", r.getMsgId(), m.getMsgId());
            Env.equal("offset id", r.getOffsetMsgId(), SendCases.offsetId(m));
            Env.equal("queue", r.getMessageQueue().getQueueId(), m.getQueueId());
        }
    }

    /** topic null: the default one. */
    private static void trace(Env env, String topic) throws Exception {
        DefaultMQProducer p = env.start(env.newProducer(env.group() + "_p", true, topic));
        env.createTopic(p, 1);
        SendResult sent = env.send(p, keyed(env, "key1 key2", "traced"));
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer c = env.newConsumer(env.group(), true, topic);
        c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        c.subscribe(env.topic(), "*");
        c.registerMessageListener(inbox);
        env.start(c);
        env.await("delivery", () -> inbox.size() == 1);

        String traces = topic == null ? TRACE_TOPIC : topic;
        List<TraceContext> found = new ArrayList<>();
        env.await("three traces of " + sent.getMsgId() + " in " + traces, () -> {
            found.clear();
            found.addAll(traces(p, traces, sent.getMsgId(), sent.getMsgId()));
            return found.size() >= 3;
        });
        List<TraceType> types = new ArrayList<>();
        for (TraceContext t : found) {
            types.add(t.getTraceType());
        }
        // producer and consumer send their own
        Env.check(types.indexOf(TraceType.SubBefore) < types.indexOf(TraceType.SubAfter), "the order is " + types);
        Collections.sort(types);
        Env.equal("types", List.of(TraceType.Pub, TraceType.SubBefore, TraceType.SubAfter), types);
        for (TraceContext t : found) {
            TraceBean bean = t.getTraceBeans().get(0);
            switch (t.getTraceType()) {
                case Pub:
                    Env.equal("group", env.group() + "_p", t.getGroupName());
                    Env.equal("topic", env.topic(), bean.getTopic());
                    Env.equal("tags", "tag", bean.getTags());
                    Env.equal("keys", "key1 key2", bean.getKeys());
                    Env.equal("offset id", sent.getOffsetMsgId(), bean.getOffsetMsgId());
                    Env.check(t.isSuccess(), "the send is traced as a failure");
                    break;
                case SubBefore:
                    Env.equal("group", env.group(), t.getGroupName());
                    Env.equal("retries", 0, bean.getRetryTimes());
                    break;
                default:
                    Env.check(t.isSuccess(), "the consumption is traced as a failure");
            }
        }
        // the message's keys find them too
        Env.equal("traces by key", 3, traces(p, traces, "key2", sent.getMsgId()).size());
    }

    private static List<TraceContext> traces(DefaultMQProducer p, String topic, String key, String id) throws Exception {
        List<TraceContext> list = new ArrayList<>();
        for (MessageExt m : query(p, topic, key, 64, 0, Long.MAX_VALUE)) {
            for (TraceContext t : TraceDataEncoder.decoderFromTraceDataString(Env.body(m))) {
                if (t.getTraceBeans().get(0).getMsgId().equals(id)) {
                    list.add(t);
                }
            }
        }
        return list;
    }
}
