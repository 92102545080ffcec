package peer;

import java.lang.reflect.Method;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** SQL92 filters (code 46, expressions in heartbeats and pulls), and how a subscription changes. */
final class FilterCases {
    private static final int SUBSCRIPTION_PARSE_FAILED = 23;
    private static final String EXPRESSION =
        "(region IN ('eu', 'us') AND amount BETWEEN 10 AND 20) OR (region IS NULL AND amount > 1.5)";

    private FilterCases() {
    }

    static void add(Map<String, Peer.Case> m) {
        m.put("sql-push", FilterCases::push);
        m.put("sql-push-wrong", FilterCases::wrong);
        m.put("sql-pull", FilterCases::pull);
        m.put("sql-lite-pull", FilterCases::litePull);
        m.put("push-heartbeat-v2", FilterCases::heartbeatV2);
    }

    private static Message message(Env env, String region, int amount) {
        Message m = env.message(null, region + " " + amount);
        m.putUserProperty("amount", String.valueOf(amount));
        if (region != null) {
            m.putUserProperty("region", region);
        }
        return m;
    }

    private static Set<String> send(Env env, DefaultMQProducer p) throws Exception {
        for (String region : new String[] {"eu", "asia", null}) {
            for (int amount : new int[] {1, 9, 10, 20, 21}) {
                env.send(p, message(env, region, amount));
            }
        }
        return new TreeSet<>(Set.of("eu 10", "eu 20", "null 9", "null 10", "null 20", "null 21"));
    }

    private static DefaultMQPushConsumer consumer(Env env, String expression, Inbox inbox) throws Exception {
        DefaultMQPushConsumer c = env.newConsumer(env.group());
        c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        c.subscribe(env.topic(), MessageSelector.bySql(expression));
        c.registerMessageListener(inbox);
        return c;
    }

    /** What waits and what comes, in long polls too; a message that failed comes from the retry topic. */
    private static void push(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 4);
        Set<String> want = send(env, p);
        Inbox inbox = new Inbox() {
            private boolean failed; // guarded by this

            @Override
            public ConsumeConcurrentlyStatus consumeMessage(java.util.List<MessageExt> batch,
                ConsumeConcurrentlyContext context) {
                synchronized (this) {
                    if (!failed && Env.body(batch.get(0)).equals("us 12")) {
                        failed = true;
                        context.setDelayLevelWhenNextConsume(1);
                        return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                    }
                }
                return super.consumeMessage(batch, context);
            }
        };
        env.start(consumer(env, EXPRESSION, inbox));
        env.awaitBodies(inbox, want);
        Thread.sleep(1000); // the pulls park in the broker
        env.send(p, message(env, "asia", 12));
        env.send(p, message(env, "us", 12));
        want.add("us 12");
        env.awaitBodies(inbox, want);
        Env.equal("times that the last was consumed before", 1, inbox.get(inbox.size() - 1).getReconsumeTimes());
    }

    private static void wrong(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 1);
        try {
            env.start(consumer(env, "amount >", new Inbox()));
        } catch (MQClientException e) {
            Env.equal("response code", SUBSCRIPTION_PARSE_FAILED, e.getResponseCode());
            return;
        }
        throw new Peer.Mismatch("a consumer with a wrong expression has started");
    }

    private static void pull(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        MessageQueue queue = env.createTopic(p, 1).get(0);
        for (int i = 0; i < 6; i++) {
            env.send(p, message(env, "eu", i));
        }
        env.await("6 messages in the consume queue", () -> p.maxOffset(queue) == 6); // Apache enters them later
        DefaultMQPullConsumer c = env.pull(env.group());
        env.await("version of the broker", () -> { // by a heartbeat's answer
            try {
                return c.pull(queue, MessageSelector.bySql("amount = 7"), 0, 32) != null;
            } catch (MQClientException e) {
                if (e.getMessage().contains("does not upgrade")) {
                    return false;
                }
                throw e;
            }
        });
        PullResult r = c.pull(queue, MessageSelector.bySql("amount = 1 OR amount = 4"), 0, 32);
        Env.equal("status of a hit", PullStatus.FOUND, r.getPullStatus());
        Env.equal("messages", 2, r.getMsgFoundList().size());
        Env.equal("first", "eu 1", Env.body(r.getMsgFoundList().get(0)));
        Env.equal("second", "eu 4", Env.body(r.getMsgFoundList().get(1)));
        Env.equal("next offset", 6L, r.getNextBeginOffset());
        r = c.pull(queue, MessageSelector.bySql("amount > 10"), 0, 32);
        Env.equal("status without match", PullStatus.NO_MATCHED_MSG, r.getPullStatus());
        Env.equal("next offset without match", 6L, r.getNextBeginOffset());
    }

    private static void litePull(Env env) throws Exception {
        env.options.notFrom5To4("lite pull is code 361, which came with 5.0");
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 4);
        Set<String> want = send(env, p);
        DefaultLitePullConsumer c = env.litePull();
        c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        c.subscribe(env.topic(), MessageSelector.bySql(EXPRESSION));
        c.start();
        Set<String> got = new TreeSet<>();
        env.await("poll of " + want.size() + " messages", () -> {
            for (MessageExt m : c.poll(200)) {
                got.add(Env.body(m));
            }
            return got.containsAll(want);
        });
        Env.equal("polled bodies", want, got);
    }

    /** Heartbeats that leave known subscriptions out; a subscription that changes is taken over. */
    private static void heartbeatV2(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        MessageQueue queue = env.createTopic(p, 1).get(0);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer c = env.newConsumer(env.group());
        Method v2;
        try {
            v2 = c.getClass().getMethod("setUseHeartbeatV2", boolean.class);
        } catch (NoSuchMethodException e) {
            throw new Peer.Skip("heartbeats of version 2 came with the client of 5.1");
        }
        v2.invoke(c, true);
        c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        c.subscribe(env.topic(), "a");
        c.registerMessageListener(inbox);
        env.start(c);
        env.send(p, env.message("a", "1"), queue);
        env.awaitBodies(inbox, new TreeSet<>(Set.of("1")));
        Thread.sleep(4000); // some heartbeats
        env.send(p, env.message("b", "2"), queue);
        env.send(p, env.message("a", "3"), queue);
        env.awaitBodies(inbox, new TreeSet<>(Set.of("1", "3")));
        c.subscribe(env.topic(), "b");
        Thread.sleep(2500);
        // Apache answers the pull that waits by the old subscription: it would pass 5 over, if 5 were there with 4
        env.send(p, env.message("a", "4"), queue);
        Thread.sleep(3000);
        env.send(p, env.message("b", "5"), queue);
        env.awaitBodies(inbox, new TreeSet<>(Set.of("1", "3", "5")));
    }
}
