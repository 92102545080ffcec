package peer;

import io.netty.channel.ChannelHandlerContext;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.impl.factory.MQClientInstance;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.netty.NettyRequestProcessor;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/** Push consumption by clusters. */
final class ConsumeCases {
    private static final int NOTIFY_CONSUMER_IDS_CHANGED = 40;

    private ConsumeCases() {
    }

    static void add(Map<String, Peer.Case> m) {
        m.put("push-balance", ConsumeCases::balance);
        m.put("push-all", ConsumeCases::all);
        m.put("push-tags", ConsumeCases::tags);
        m.put("push-from-last-young-topic", ConsumeCases::fromLastYoung);
        m.put("push-resumes", ConsumeCases::resumes);
        m.put("push-live", ConsumeCases::live);
        m.put("push-before-topic", ConsumeCases::beforeTopic);
    }

    private static Set<String> send(Env env, DefaultMQProducer p, String what, int n) throws Exception {
        Set<String> bodies = new TreeSet<>();
        for (int i = 0; i < n; i++) {
            String body = what + " " + i;
            env.send(p, env.message("a", body));
            bodies.add(body);
        }
        return bodies;
    }

    private static void all(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 4);
        Set<String> want = send(env, p, "all", 20);
        Inbox inbox = new Inbox();
        env.consumer("*", ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, inbox);
        env.awaitBodies(inbox, want);
        Env.equal("deliveries", 20, inbox.size());
    }

    private static void tags(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        MessageQueue queue = env.createTopic(p, 4).get(0);
        Set<String> want = new TreeSet<>();
        String[] tags = {"a", "b", "c", null};
        for (int i = 0; i < 16; i++) {
            String tag = tags[i % 4];
            env.send(p, env.message(tag, tag + " " + i), queue);
            if (i % 4 < 2) {
                want.add(tag + " " + i);
            }
        }
        Inbox inbox = new Inbox();
        env.consumer("a || b", ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, inbox);
        env.awaitBodies(inbox, want);
        // one more that matches: what lies before it has been filtered by then
        env.send(p, env.message("b", "last"), queue);
        want.add("last");
        env.awaitBodies(inbox, want);
    }

    /** A new group on a topic whose data is all in memory starts at 0 in spite of CONSUME_FROM_LAST_OFFSET. */
    private static void fromLastYoung(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 4);
        Set<String> want = send(env, p, "young", 8);
        // until they are there 5.x cannot tell that the first is in memory
        env.await("8 messages in the consume queues", () -> SendCases.stored(p, env) == 8);
        Inbox inbox = new Inbox();
        env.consumer("*", ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET, inbox);
        env.awaitBodies(inbox, want);
    }

    private static void resumes(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 4);
        Set<String> first = send(env, p, "before", 12);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer c = env.consumer("*", ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, inbox);
        env.awaitBodies(inbox, first);
        // the listener has had all of them before the client counts them as consumed
        env.await("offsets of 12 messages to commit", () -> c.getDefaultMQPushConsumerImpl().getOffsetStore()
            .cloneOffsetTable(env.topic()).values().stream().mapToLong(Number::longValue).sum() == 12);
        c.shutdown(); // commits the offsets and leaves the group
        Set<String> second = send(env, p, "after", 12);
        Inbox again = new Inbox();
        env.consumer("*", ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, again);
        env.awaitBodies(again, second);
    }

    /** Messages that are sent while the consumer waits in its long polls arrive at once. */
    private static void live(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 4);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer c = env.consumer("*", ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, inbox);
        env.await("4 queues", () -> queues(c, env.topic()) == 4);
        Thread.sleep(1500); // the pulls park in the broker
        for (int i = 0; i < 5; i++) {
            int n = i + 1;
            long began = System.nanoTime();
            env.send(p, env.message("a", "live " + i));
            env.await("message " + i, () -> inbox.size() == n);
            long millis = (System.nanoTime() - began) / 1_000_000;
            // without being woken it looks again after 5 s
            Env.check(millis < 4000, "a parked pull took " + millis + " ms to deliver");
        }
    }

    private static void beforeTopic(Env env) throws Exception {
        Inbox inbox = new Inbox();
        env.consumer("*", ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, inbox);
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 4);
        Set<String> want = send(env, p, "late topic", 4);
        env.awaitBodies(inbox, want);
    }

    private static int queues(DefaultMQPushConsumer c, String topic) {
        int n = 0;
        for (MessageQueue q : c.getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet()) {
            if (q.getTopic().equals(topic)) {
                n++;
            }
        }
        return n;
    }

    /** Counts code 40 on a consumer's connection, and still rebalances. */
    private static AtomicInteger countNotifications(DefaultMQPushConsumer c, ExecutorService pool) {
        AtomicInteger count = new AtomicInteger();
        MQClientInstance factory = c.getDefaultMQPushConsumerImpl().getmQClientFactory();
        factory.getMQClientAPIImpl().getRemotingClient().registerProcessor(NOTIFY_CONSUMER_IDS_CHANGED,
            new NettyRequestProcessor() {
                @Override
                public RemotingCommand processRequest(ChannelHandlerContext ctx, RemotingCommand request) {
                    if (c.getConsumerGroup().equals(request.getExtFields().get("consumerGroup"))) {
                        count.incrementAndGet();
                    }
                    factory.rebalanceImmediately();
                    return null;
                }

                @Override
                public boolean rejectRequest() {
                    return false;
                }
            }, pool);
        return count;
    }

    private static void balance(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        List<MessageQueue> queues = env.createTopic(p, 8);
        Inbox one = new Inbox();
        Inbox two = new Inbox();
        ExecutorService pool = Executors.newSingleThreadExecutor();
        try {
            DefaultMQPushConsumer first = env.consumer("*", ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, one);
            AtomicInteger told = countNotifications(first, pool);
            env.await("8 queues at the first consumer", () -> queues(first, env.topic()) == 8);
            int before = told.get();
            DefaultMQPushConsumer second = env.consumer("*", ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, two);
            env.await("4 queues at each consumer",
                () -> queues(first, env.topic()) == 4 && queues(second, env.topic()) == 4);
            env.await("code 40 when the second consumer joins", () -> told.get() > before);
            env.awaitQueues(p, 8);
            spread(env, p, queues, "two");
            env.await("16 deliveries to both", () -> one.size() + two.size() >= 16);
            Env.equal("queues of the first consumer", 4, one.queues().size());
            Env.equal("queues of the second consumer", 4, two.queues().size());
            Set<Integer> both = new HashSet<>(one.queues());
            both.retainAll(two.queues());
            Env.equal("queues of both", new HashSet<>(), both);

            int joined = told.get();
            second.shutdown();
            env.await("code 40 when the second consumer leaves", () -> told.get() > joined);
            env.await("8 queues at the remaining consumer", () -> queues(first, env.topic()) == 8);
            one.clear();
            spread(env, p, queues, "one");
            env.await("deliveries from 8 queues to the remaining consumer", () -> one.queues().size() == 8);
        } finally {
            pool.shutdownNow();
        }
    }

    private static void spread(Env env, DefaultMQProducer p, List<MessageQueue> queues, String what) throws Exception {
        List<MessageQueue> twice = new ArrayList<>(queues);
        twice.addAll(queues);
        for (MessageQueue q : twice) {
            env.send(p, env.message("a", what + " " + q.getQueueId()), q);
        }
    }
}
