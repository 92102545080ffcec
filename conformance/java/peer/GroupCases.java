package peer;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.impl.MQClientAPIImpl;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** What administrators do to a running consumer, by the calls that are behind mqadmin. */
final class GroupCases {
    private static final long TIMEOUT = 15_000;

    private GroupCases() {
    }

    static void add(Map<String, Peer.Case> m) {
        m.put("reset-by-time", GroupCases::resetByTime);
        m.put("reset-to-the-end", GroupCases::resetToEnd);
        m.put("clone-offset", GroupCases::cloneOffset);
        m.put("consume-directly", GroupCases::consumeDirectly);
        m.put("running-info", GroupCases::runningInfo);
        m.put("consumer-status", GroupCases::consumerStatus);
    }

    /** A consumer that has taken five messages of one queue, and its offset is committed. */
    private static final class Running {
        final Env env;
        final Inbox inbox = new Inbox();
        final AtomicReference<ConsumeConcurrentlyStatus> next = new AtomicReference<>(ConsumeConcurrentlyStatus.CONSUME_SUCCESS);
        final DefaultMQProducer producer;
        final MessageQueue queue;
        final SendResult[] sent = new SendResult[5];
        final long[] stored = new long[5];
        final DefaultMQPushConsumer consumer;
        final MQClientAPIImpl api;
        final String broker;

        Running(Env env) throws Exception {
            this.env = env;
            producer = env.producer();
            queue = env.createTopic(producer, 1).get(0);
            for (int i = 0; i < sent.length; i++) {
                sent[i] = env.send(producer, env.message("a", "m" + i), queue);
                MessageExt m = producer.viewMessage(env.topic(), sent[i].getOffsetMsgId());
                stored[i] = m.getStoreTimestamp();
                Thread.sleep(30);
            }
            consumer = env.consumer("*", ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, (batch, context) -> {
                inbox.consumeMessage(batch, context);
                return next.get();
            });
            env.await("5 messages", () -> inbox.size() == 5);
            var client = consumer.getDefaultMQPushConsumerImpl().getmQClientFactory();
            api = client.getMQClientAPIImpl();
            broker = client.findBrokerAddressInPublish(queue.getBrokerName());
            env.await("the offset at the broker", () -> {
                consumer.getDefaultMQPushConsumerImpl().persistConsumerOffset();
                return committed(env.group()) == 5;
            });
        }

        long committed(String group) throws Exception {
            for (Map.Entry<MessageQueue, ?> e : api.getConsumeStats(broker, group, env.topic(), TIMEOUT).getOffsetTable().entrySet()) {
                if (e.getKey().equals(queue)) {
                    return (Long) e.getValue().getClass().getMethod("getConsumerOffset").invoke(e.getValue());
                }
            }
            return -1;
        }

        String clientId() {
            return consumer.getDefaultMQPushConsumerImpl().getmQClientFactory().getClientId();
        }
    }

    private static void resetByTime(Env env) throws Exception {
        Running r = new Running(env);
        r.inbox.clear();
        Map<MessageQueue, Long> table = r.api.invokeBrokerToResetOffset(r.broker, env.topic(), env.group(), r.stored[2], true, TIMEOUT);
        Env.equal("where the broker says that the group goes on", Map.of(r.queue, 2L), table);
        env.await("the messages from the third on, again (" + r.inbox.summary() + ")", 60_000, () -> r.inbox.size() >= 3);
        Env.equal("bodies", Set.of("m2", "m3", "m4"), r.inbox.bodies());
        env.send(r.producer, env.message("a", "m5"), r.queue);
        env.await("the next message", 60_000, () -> r.inbox.bodies().contains("m5"));
        env.await("the offset at the broker", () -> {
            r.consumer.getDefaultMQPushConsumerImpl().persistConsumerOffset();
            return r.committed(env.group()) == 6;
        });
    }

    private static void resetToEnd(Env env) throws Exception {
        env.options.need5("the reset of a group without members");
        Running r = new Running(env);
        r.consumer.shutdown();
        for (int i = 5; i < 8; i++) {
            env.send(r.producer, env.message("a", "m" + i), r.queue);
        }
        Map<MessageQueue, Long> table = fresh(env).invokeBrokerToResetOffset(r.broker, env.topic(), env.group(), -1, true, TIMEOUT);
        Env.equal("where the broker says that the group goes on", Map.of(r.queue, 8L), table);
        Inbox late = new Inbox();
        DefaultMQPushConsumer c = env.newConsumer(env.group());
        c.setInstanceName("late");
        c.subscribe(env.topic(), "*");
        c.registerMessageListener(late);
        env.start(c);
        env.send(r.producer, env.message("a", "m8"), r.queue);
        env.await("the message after the reset", 60_000, () -> late.size() > 0);
        Env.equal("bodies", Set.of("m8"), late.bodies());
    }

    /** The calls of a client that runs. */
    private static MQClientAPIImpl fresh(Env env) throws Exception {
        DefaultMQPushConsumer c = env.newConsumer(env.group() + "_fresh");
        c.setInstanceName("fresh");
        c.subscribe(env.topic(), "none");
        c.registerMessageListener(new Inbox());
        return env.start(c).getDefaultMQPushConsumerImpl().getmQClientFactory().getMQClientAPIImpl();
    }

    private static void cloneOffset(Env env) throws Exception {
        Running r = new Running(env);
        String copy = env.group() + "_copy";
        r.api.cloneGroupOffset(r.broker, env.group(), copy, env.topic(), true, TIMEOUT);
        Env.equal("offset of the copy", 5L, r.committed(copy));
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer c = env.newConsumer(copy);
        c.setInstanceName("copy");
        c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        c.subscribe(env.topic(), "*");
        c.registerMessageListener(inbox);
        env.start(c);
        env.send(r.producer, env.message("a", "m5"), r.queue);
        env.await("the next message", 60_000, () -> inbox.size() > 0);
        Env.equal("what the copy gets", Set.of("m5"), inbox.bodies());
    }

    private static void consumeDirectly(Env env) throws Exception {
        Running r = new Running(env);
        r.inbox.clear();
        String got = direct(r, r.sent[3].getOffsetMsgId());
        Env.check(got.contains("consumeResult=CR_SUCCESS"), "the result is " + got);
        Env.equal("bodies", Set.of("m3"), r.inbox.bodies());
        r.next.set(ConsumeConcurrentlyStatus.RECONSUME_LATER);
        got = direct(r, r.sent[1].getOffsetMsgId());
        Env.check(got.contains("consumeResult=CR_LATER"), "the result is " + got);
        Env.equal("bodies", Set.of("m1", "m3"), r.inbox.bodies());
        Env.equal("offset", 5L, r.committed(env.group()));
    }

    /** 5.x wants the topic too. */
    private static String direct(Running r, String id) throws Exception {
        for (Method m : MQClientAPIImpl.class.getMethods()) {
            if (m.getName().equals("consumeMessageDirectly")) {
                try {
                    return String.valueOf(m.getParameterCount() == 6
                        ? m.invoke(r.api, r.broker, r.env.group(), r.clientId(), r.env.topic(), id, TIMEOUT)
                        : m.invoke(r.api, r.broker, r.env.group(), r.clientId(), id, TIMEOUT));
                } catch (InvocationTargetException e) {
                    throw e.getCause() instanceof Exception ? (Exception) e.getCause() : e;
                }
            }
        }
        throw new Peer.Mismatch("this client has no consumeMessageDirectly");
    }

    private static void runningInfo(Env env) throws Exception {
        Running r = new Running(env);
        var info = r.api.getConsumerRunningInfo(r.broker, env.group(), r.clientId(), true, TIMEOUT);
        Env.check(info.getMqTable().containsKey(r.queue), "the queues are " + info.getMqTable().keySet());
        Env.equal("offset", 5L, info.getMqTable().get(r.queue).getCommitOffset());
        Env.check(info.getJstack() != null && info.getJstack().contains("TID:"), "no stacks");
        try {
            r.api.getConsumerRunningInfo(r.broker, env.group(), "nobody", false, TIMEOUT);
        } catch (Exception e) {
            Env.check(e.getMessage().contains("The Consumer <" + env.group() + "> <nobody> not online"), "the refusal is " + e.getMessage());
            return;
        }
        throw new Peer.Mismatch("a client that is not there answers");
    }

    private static void consumerStatus(Env env) throws Exception {
        Running r = new Running(env);
        Map<String, Map<MessageQueue, Long>> all = r.api.invokeBrokerToGetConsumerStatus(r.broker, env.topic(), env.group(), "", TIMEOUT);
        Env.equal("status", Map.of(r.clientId(), Map.of(r.queue, 5L)), all);
        all = r.api.invokeBrokerToGetConsumerStatus(r.broker, env.topic(), env.group(), "nobody", TIMEOUT);
        Env.equal("status of nobody", Map.of(), all);
    }
}
