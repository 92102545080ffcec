package peer;

import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Pull consumption: DefaultMQPullConsumer (code 11) and DefaultLitePullConsumer (code 361). */
final class PullCases {
    private static final String LITE_PULL = "lite pull is code 361, which came with 5.0";

    private PullCases() {
    }

    static void add(Map<String, Peer.Case> m) {
        m.put("pull-blocks", PullCases::blocks);
        m.put("pull-statuses", PullCases::statuses);
        m.put("pull-offsets", PullCases::offsets);
        m.put("lite-pull-assign", PullCases::assign);
        m.put("lite-pull-subscribe", PullCases::subscribe);
    }

    private static void blocks(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        MessageQueue queue = env.createTopic(p, 1).get(0);
        DefaultMQPullConsumer c = env.pull(env.group());
        Thread sender = new Thread(() -> {
            try {
                Thread.sleep(1000);
                p.send(env.message("a", "awaited"), queue);
            } catch (Exception e) {
                e.printStackTrace();
            }
        });
        long began = System.nanoTime();
        sender.start();
        PullResult r = c.pullBlockIfNotFound(queue, "*", 0, 32);
        long millis = (System.nanoTime() - began) / 1_000_000;
        sender.join();
        Env.equal("pull status", PullStatus.FOUND, r.getPullStatus());
        Env.equal("body", "awaited", Env.body(r.getMsgFoundList().get(0)));
        Env.check(millis >= 900, "the pull did not wait: " + millis + " ms");
        Env.check(millis < 4000, "the pull was not woken: " + millis + " ms");
    }

    private static void statuses(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        List<MessageQueue> queues = env.createTopic(p, 2);
        MessageQueue queue = queues.get(0);
        for (int i = 0; i < 5; i++) {
            env.send(p, env.message("a", "m" + i), queue);
        }
        env.await("5 messages in the consume queue", () -> p.maxOffset(queue) == 5); // Apache enters them later
        DefaultMQPullConsumer c = env.pull(env.group());
        PullResult r = c.pull(queue, "*", 1, 2);
        Env.equal("status of a hit", PullStatus.FOUND, r.getPullStatus());
        Env.equal("messages", 2, r.getMsgFoundList().size());
        Env.equal("first offset", 1L, r.getMsgFoundList().get(0).getQueueOffset());
        result("hit", r, 3, 0, 5);
        r = c.pull(queue, "a || none", 0, 32);
        Env.equal("status with tags", PullStatus.FOUND, r.getPullStatus());
        Env.equal("messages with tags", 5, r.getMsgFoundList().size());
        r = c.pull(queue, "none", 0, 32);
        Env.equal("status without match", PullStatus.NO_MATCHED_MSG, r.getPullStatus());
        result("no match", r, 5, 0, 5);
        r = c.pull(queue, "*", 5, 32);
        Env.equal("status at the end", PullStatus.NO_NEW_MSG, r.getPullStatus());
        result("end", r, 5, 0, 5);
        r = c.pull(queue, "*", 9, 32);
        Env.equal("status past the end", PullStatus.OFFSET_ILLEGAL, r.getPullStatus());
        result("past the end", r, 5, 0, 5);
        r = c.pull(queues.get(1), "*", 7, 32);
        Env.equal("status past the end of an empty queue", PullStatus.OFFSET_ILLEGAL, r.getPullStatus());
        result("past the end of an empty queue", r, 0, 0, 0);
        r = c.pull(queues.get(1), "*", 0, 32);
        Env.equal("status of an empty queue", PullStatus.NO_NEW_MSG, r.getPullStatus());
    }

    private static void result(String what, PullResult r, long next, long min, long max) throws Exception {
        Env.equal("next offset (" + what + ")", next, r.getNextBeginOffset());
        Env.equal("min offset (" + what + ")", min, r.getMinOffset());
        Env.equal("max offset (" + what + ")", max, r.getMaxOffset());
    }

    private static void offsets(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        MessageQueue queue = env.createTopic(p, 1).get(0);
        for (int i = 0; i < 5; i++) {
            env.send(p, env.message("a", "m" + i), queue);
        }
        env.await("5 messages in the consume queue", () -> p.maxOffset(queue) == 5); // Apache enters them later
        DefaultMQPullConsumer c = env.pull(env.group());
        // 5.x refuses offsets of a group that it does not know, and the client, which commits oneway, never hears of
        // it; the first pull makes the group known
        Env.equal("status of the first pull", PullStatus.FOUND, c.pull(queue, "*", 0, 32).getPullStatus());
        c.updateConsumeOffset(queue, 3);
        c.getDefaultMQPullConsumerImpl().getOffsetStore().persistAll(new HashSet<>(Set.of(queue)));
        env.await("offset 3 at the broker", () -> c.fetchConsumeOffset(queue, true) == 3);
    }

    private static Set<String> send(Env env, DefaultMQProducer p, String tag, int n) throws Exception {
        Set<String> bodies = new TreeSet<>();
        for (int i = 0; i < n; i++) {
            env.send(p, env.message(tag, tag + " " + i));
            bodies.add(tag + " " + i);
        }
        return bodies;
    }

    private static void poll(Env env, DefaultLitePullConsumer c, Set<String> want) throws Exception {
        Set<String> got = new TreeSet<>();
        env.await("poll of " + want.size() + " messages", () -> {
            for (MessageExt m : c.poll(200)) {
                got.add(Env.body(m));
            }
            return got.containsAll(want);
        });
        Env.equal("polled bodies", want, got);
    }

    private static void committed(Env env, DefaultLitePullConsumer c, List<MessageQueue> queues) throws Exception {
        env.await("committed offsets of 12 messages", () -> {
            c.commitSync();
            long sum = 0;
            for (MessageQueue q : queues) {
                sum += Math.max(0, c.committed(q));
            }
            return sum == 12;
        });
    }

    private static void assign(Env env) throws Exception {
        env.options.notFrom5To4(LITE_PULL);
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 4);
        Set<String> want = send(env, p, "a", 12);
        DefaultLitePullConsumer c = env.litePull();
        c.setAutoCommit(false);
        c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        c.start();
        List<MessageQueue> queues = List.copyOf(c.fetchMessageQueues(env.topic()));
        Env.equal("queues", 4, queues.size());
        c.assign(queues);
        poll(env, c, want);
        committed(env, c, queues);
        // not sooner: a seek that meets a pull which is about to begin can be lost in the client
        for (MessageQueue q : queues) {
            c.seek(q, 0);
        }
        poll(env, c, want);
        committed(env, c, queues);
        MessageQueue one = Collections.min(queues);
        Env.check(c.offsetForTimestamp(one, System.currentTimeMillis()) >= 0, "no offset for a timestamp");
    }

    private static void subscribe(Env env) throws Exception {
        env.options.notFrom5To4(LITE_PULL);
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 4);
        Set<String> want = new TreeSet<>(send(env, p, "a", 6));
        want.addAll(send(env, p, "b", 6));
        send(env, p, "c", 6);
        DefaultLitePullConsumer c = env.litePull();
        c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        c.subscribe(env.topic(), "a || b");
        c.start();
        poll(env, c, want);
    }
}
