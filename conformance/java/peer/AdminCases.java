package peer;

import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** The admin calls that every client has. */
final class AdminCases {
    private AdminCases() {
    }

    static void add(Map<String, Peer.Case> m) {
        m.put("offsets", AdminCases::offsets);
        m.put("offset-between-times", AdminCases::betweenTimes);
        m.put("create-topic", AdminCases::createTopic);
        m.put("view-message", AdminCases::viewMessage);
    }

    private static void createTopic(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        List<MessageQueue> queues = env.createTopic(p, 6);
        Set<Integer> ids = new HashSet<>();
        for (MessageQueue q : queues) {
            Env.equal("topic", env.topic(), q.getTopic());
            ids.add(q.getQueueId());
        }
        Env.equal("queue ids", Set.of(0, 1, 2, 3, 4, 5), ids);
        Env.equal("max offset of a new queue", 0L, p.maxOffset(queues.get(0)));
        Env.equal("min offset of a new queue", 0L, p.minOffset(queues.get(0)));
    }

    private static void offsets(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        MessageQueue queue = env.createTopic(p, 1).get(0);
        long[] stored = fill(env, p, queue);
        Env.equal("max offset", 6L, p.maxOffset(queue));
        Env.equal("min offset", 0L, p.minOffset(queue));
        Env.equal("earliest store time", stored[0], p.earliestMsgStoreTime(queue));
        for (int i = 0; i < stored.length; i++) {
            Env.equal("offset at the store time of " + i, (long) i, p.searchOffset(queue, stored[i]));
        }
        Env.equal("offset before the first", 0L, p.searchOffset(queue, stored[0] - 1000));
    }

    /** Six messages, at least 30 ms apart; returns their store times. */
    private static long[] fill(Env env, DefaultMQProducer p, MessageQueue queue) throws Exception {
        long[] stored = new long[6];
        for (int i = 0; i < stored.length; i++) {
            SendResult r = env.send(p, env.message("a", "m" + i), queue);
            Env.equal("queue offset", (long) i, r.getQueueOffset());
            stored[i] = view(env, p, r).getStoreTimestamp();
            Thread.sleep(30);
        }
        env.await("6 messages in the consume queue", () -> p.maxOffset(queue) == 6);
        return stored;
    }

    /** 5.x answers with the first message at or after the time, 4.9 with the nearest. */
    private static void betweenTimes(Env env) throws Exception {
        env.options.need5("the rule for times between two messages");
        DefaultMQProducer p = env.producer();
        MessageQueue queue = env.createTopic(p, 1).get(0);
        long[] stored = fill(env, p, queue);
        Env.equal("offset just after 2", 3L, p.searchOffset(queue, stored[2] + 1));
        Env.equal("offset just before 3", 3L, p.searchOffset(queue, stored[3] - 1));
        Env.equal("offset after the last", 6L, p.searchOffset(queue, stored[5] + 10_000));
    }

    private static MessageExt view(Env env, DefaultMQProducer p, SendResult r) throws Exception {
        return p.viewMessage(env.topic(), r.getOffsetMsgId());
    }

    private static void viewMessage(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 4);
        SendResult r = env.send(p, env.message("tag", "看"));
        MessageExt m = view(env, p, r);
        Env.equal("body", "看", Env.body(m));
        Env.equal("topic", env.topic(), m.getTopic());
        Env.equal("tags", "tag", m.getTags());
        Env.equal("queue", r.getMessageQueue().getQueueId(), m.getQueueId());
        Env.equal("queue offset", r.getQueueOffset(), m.getQueueOffset());
        Env.equal("unique id", r.getMsgId(), m.getMsgId());
        Env.equal("offset id", r.getOffsetMsgId(), SendCases.offsetId(m));
    }
}
