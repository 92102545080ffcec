package peer;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Ordered push consumption, for which members lock their queues (codes 41 and 42). */
final class OrderCases {
    private OrderCases() {
    }

    static void add(Map<String, Peer.Case> m) {
        m.put("order-push", OrderCases::push);
        m.put("order-two-members", OrderCases::twoMembers);
        m.put("order-dead-letter", OrderCases::deadLetter);
    }

    /** What came of each queue, in order, from all members together. */
    private static final class Book {
        private final Map<Integer, List<String>> queues = new TreeMap<>(); // guarded by this
        private boolean twoAtOnce; // guarded by this
        private final Set<Integer> busy = new TreeSet<>(); // guarded by this

        synchronized void enter(int queue) {
            twoAtOnce |= !busy.add(queue);
        }

        synchronized void leave(int queue) {
            busy.remove(queue);
        }

        synchronized void add(MessageExt m) {
            List<String> list = queues.computeIfAbsent(m.getQueueId(), q -> new ArrayList<>());
            String body = Env.body(m);
            if (!list.contains(body)) { // a queue that moves may repeat its last ones
                list.add(body);
            }
        }

        synchronized int size() {
            return queues.values().stream().mapToInt(List::size).sum();
        }

        synchronized void check(Map<Integer, List<String>> want) throws Peer.Mismatch {
            Env.equal("messages by queue", want, queues);
            Env.check(!twoAtOnce, "messages of one queue were consumed at the same time");
        }
    }

    /** Enters what comes; the first time that a message is the bad one it is put off. */
    private static final class Listener implements MessageListenerOrderly {
        private final Book book;
        private final String bad;
        volatile int putOff;
        volatile int taken;
        final Set<Integer> queues = ConcurrentHashMap.newKeySet(); // that messages were taken from

        Listener(Book book, String bad) {
            this.book = book;
            this.bad = bad;
        }

        @Override
        public ConsumeOrderlyStatus consumeMessage(List<MessageExt> batch, ConsumeOrderlyContext context) {
            int queue = context.getMessageQueue().getQueueId();
            book.enter(queue);
            try {
                for (MessageExt m : batch) {
                    if (Env.body(m).equals(bad) && m.getReconsumeTimes() < 2) {
                        putOff++;
                        context.setSuspendCurrentQueueTimeMillis(300);
                        return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
                    }
                    book.add(m);
                    taken++;
                    queues.add(queue);
                }
                return ConsumeOrderlyStatus.SUCCESS;
            } finally {
                book.leave(queue);
            }
        }
    }

    private static DefaultMQPushConsumer consumer(Env env, MessageListenerOrderly listener) throws Exception {
        DefaultMQPushConsumer c = env.newConsumer(env.group());
        c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        c.subscribe(env.topic(), "*");
        c.registerMessageListener(listener);
        return c;
    }

    private static void send(Env env, DefaultMQProducer p, List<MessageQueue> queues, Map<Integer, List<String>> sent,
        int from, int to) throws Exception {
        for (int i = from; i < to; i++) {
            for (MessageQueue q : queues) {
                String body = q.getQueueId() + "/" + i;
                env.send(p, env.message("a", body), q);
                sent.computeIfAbsent(q.getQueueId(), id -> new ArrayList<>()).add(body);
            }
        }
    }

    private static void push(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        List<MessageQueue> queues = env.createTopic(p, 4);
        Map<Integer, List<String>> sent = new TreeMap<>();
        send(env, p, queues, sent, 0, 10);
        Book book = new Book();
        Listener listener = new Listener(book, "2/4");
        env.start(consumer(env, listener));
        send(env, p, queues, sent, 10, 20);
        env.await("80 messages", () -> book.size() == 80);
        book.check(sent);
        Env.equal("times that the queue was suspended", 2, listener.putOff);
    }

    /** A second member gets half of the queues, and all of them when the first one leaves. */
    private static void twoMembers(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        List<MessageQueue> queues = env.createTopic(p, 4);
        Map<Integer, List<String>> sent = new TreeMap<>();
        Book book = new Book();
        Listener one = new Listener(book, "");
        Listener two = new Listener(book, "");
        DefaultMQPushConsumer first = env.start(consumer(env, one));
        send(env, p, queues, sent, 0, 5);
        env.await("20 messages at the first member", () -> one.taken >= 20);
        DefaultMQPushConsumer second = env.start(consumer(env, two));
        // Nothing is sent until the queues are handed over: 4.9 unlocks one that it gave away with messages in its
        // cache 20 s later, and the other member asks for the lock every 20 s only.
        env.await("half of the queues at the second member", () -> second.getDefaultMQPushConsumerImpl().getRebalanceImpl()
            .getProcessQueueTable().keySet().stream().filter(q -> q.getTopic().equals(env.topic())).count() == 2);
        int[] next = {5};
        env.await("messages at both members", () -> {
            send(env, p, queues, sent, next[0], ++next[0]);
            return two.taken >= 4 && two.queues.size() == 2 && one.taken > 20;
        });
        first.shutdown();
        int left = two.taken;
        send(env, p, queues, sent, next[0], next[0] + 5);
        int all = 4 * (next[0] + 5);
        env.await(all + " messages", () -> book.size() == all);
        Env.check(two.taken >= left + 20, "the second member got " + (two.taken - left) + " of the last 20 messages");
        book.check(sent);
    }

    /** What fails for good goes to the dead letters, and the queue goes on behind it. */
    private static void deadLetter(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        List<MessageQueue> queues = env.createTopic(p, 1);
        Map<Integer, List<String>> sent = new TreeMap<>();
        send(env, p, queues, sent, 0, 4);
        Book book = new Book();
        DefaultMQPushConsumer c = consumer(env, new Listener(book, "0/1"));
        c.setMaxReconsumeTimes(1);
        env.start(c);
        sent.get(0).remove("0/1");
        env.await("3 messages", () -> book.size() == 3);
        book.check(sent);
        Inbox dead = new Inbox();
        DefaultMQPushConsumer letters = env.newConsumer(env.group() + "_dead");
        letters.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        letters.subscribe("%DLQ%" + env.group(), "*");
        letters.registerMessageListener(dead);
        env.start(letters);
        env.awaitBodies(dead, new TreeSet<>(Set.of("0/1")));
    }
}
