package peer;

import java.lang.reflect.Method;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Retry, dead letters and delay. */
final class RetryCases {
    private RetryCases() {
    }

    static void add(Map<String, Peer.Case> m) {
        m.put("dead-letter", RetryCases::deadLetter);
        m.put("retry", RetryCases::retry);
        m.put("timer", RetryCases::timer);
        m.put("delay-level", RetryCases::delayLevel);
    }

    /** Fails the first deliveries of each message, at delay level 1. */
    private static final class Failing extends Inbox {
        private final int failures;

        Failing(int failures) {
            this.failures = failures;
        }

        @Override
        public ConsumeConcurrentlyStatus consumeMessage(List<MessageExt> batch, ConsumeConcurrentlyContext context) {
            super.consumeMessage(batch, context);
            if (batch.get(0).getReconsumeTimes() < failures) {
                context.setDelayLevelWhenNextConsume(1);
                return ConsumeConcurrentlyStatus.RECONSUME_LATER;
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        }
    }

    private static void retry(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 4);
        Failing inbox = new Failing(1);
        env.consumer("*", ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, inbox);
        Message m = env.message("tag", "retry me");
        m.setKeys("order-1");
        SendResult r = env.send(p, m);
        env.await("second delivery", () -> inbox.size() == 2);
        MessageExt first = inbox.get(0);
        MessageExt second = inbox.get(1);
        Env.equal("reconsume times of the first delivery", 0, first.getReconsumeTimes());
        Env.equal("reconsume times of the second delivery", 1, second.getReconsumeTimes());
        Env.equal("unique id", r.getMsgId(), second.getMsgId());
        Env.equal("body", "retry me", Env.body(second));
        Env.equal("tags", "tag", second.getTags());
        Env.equal("keys", "order-1", second.getKeys());
        Env.equal("topic as the handler sees it", env.topic(), second.getTopic());
        Env.equal("RETRY_TOPIC", env.topic(), second.getProperty(MessageConst.PROPERTY_RETRY_TOPIC));
        Env.equal("ORIGIN_MESSAGE_ID", r.getOffsetMsgId(), second.getProperty(MessageConst.PROPERTY_ORIGIN_MESSAGE_ID));
        Env.equal("REAL_TOPIC", "%RETRY%" + env.group(), second.getProperty(MessageConst.PROPERTY_REAL_TOPIC));
        Env.equal("DELAY", "1", second.getProperty(MessageConst.PROPERTY_DELAY_TIME_LEVEL));
        Env.check(inbox.arrival(1) - inbox.arrival(0) >= 900,
            "delay level 1 took only " + (inbox.arrival(1) - inbox.arrival(0)) + " ms");
    }

    private static void deadLetter(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 4);
        Failing inbox = new Failing(Integer.MAX_VALUE);
        DefaultMQPushConsumer c = env.newConsumer(env.group());
        c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        c.setMaxReconsumeTimes(1);
        c.subscribe(env.topic(), "*");
        c.registerMessageListener(inbox);
        env.start(c);
        SendResult r = env.send(p, env.message("tag", "dead"));
        String dlq = "%DLQ%" + env.group();
        DefaultMQPullConsumer reader = env.pull(env.group() + "_dlq");
        MessageExt dead = first(env, reader, dlq);
        Env.equal("deliveries before the DLQ", 2, inbox.size());
        Env.equal("body", "dead", Env.body(dead));
        Env.equal("topic", dlq, dead.getTopic());
        Env.equal("tags", "tag", dead.getTags());
        Env.equal("unique id", r.getMsgId(), dead.getMsgId());
        Env.equal("RETRY_TOPIC", env.topic(), dead.getProperty(MessageConst.PROPERTY_RETRY_TOPIC));
        Env.equal("ORIGIN_MESSAGE_ID", r.getOffsetMsgId(), dead.getProperty(MessageConst.PROPERTY_ORIGIN_MESSAGE_ID));
        Env.equal("reconsume times in the DLQ", 2, dead.getReconsumeTimes());
        Env.equal("DELAY in the DLQ", "0", dead.getProperty(MessageConst.PROPERTY_DELAY_TIME_LEVEL));
    }

    /** Pulls the first message of a topic that may come into being only while we wait. */
    private static MessageExt first(Env env, DefaultMQPullConsumer reader, String topic) throws Exception {
        Object[] found = new Object[1];
        env.await("message in " + topic, () -> {
            Set<MessageQueue> queues;
            try {
                queues = reader.fetchSubscribeMessageQueues(topic);
            } catch (MQClientException e) {
                return false; // no route yet
            }
            for (MessageQueue q : queues) {
                PullResult r = reader.pull(q, "*", 0, 1);
                if (r.getPullStatus() == PullStatus.FOUND) {
                    found[0] = r.getMsgFoundList().get(0);
                    return true;
                }
            }
            return false;
        });
        return (MessageExt) found[0];
    }

    private static void delayLevel(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 4);
        Message m = env.message("tag", "later");
        m.setDelayTimeLevel(1);
        m.putUserProperty("own", "值");
        MessageExt got = delayed(env, p, m, 1000);
        // Apache clears the level of the message in memory, not in the record that it appends
        Env.equal("DELAY", "1", got.getProperty(MessageConst.PROPERTY_DELAY_TIME_LEVEL));
    }

    private static void timer(Env env) throws Exception {
        Method delay;
        try {
            delay = Message.class.getMethod("setDelayTimeMs", long.class);
        } catch (NoSuchMethodException e) {
            throw new Peer.Skip("timer messages came with 5.0, so this client has none");
        }
        env.options.need5("timer messages");
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 4);
        Message m = env.message("tag", "later");
        delay.invoke(m, 2500L);
        m.putUserProperty("own", "值");
        MessageExt got = delayed(env, p, m, 2500);
        Env.equal("TIMER_DELAY_MS", "2500", got.getProperty("TIMER_DELAY_MS"));
        Env.equal("whole seconds in TIMER_OUT_MS", 0L, Long.parseLong(got.getProperty("TIMER_OUT_MS")) % 1000);
    }

    private static MessageExt delayed(Env env, DefaultMQProducer p, Message m, long millis) throws Exception {
        Inbox inbox = new Inbox();
        env.consumer("tag", ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, inbox);
        env.send(p, env.message("tag", "now"));
        env.await("the message without delay", () -> inbox.size() == 1);
        SendResult r = env.send(p, m);
        env.await("the delayed message", () -> inbox.size() == 2);
        MessageExt got = inbox.get(1);
        long took = inbox.arrival(1) - got.getBornTimestamp();
        Env.check(took >= millis - 1, "arrived after " + took + " ms, want at least " + millis);
        Env.check(took < millis + 5000, "arrived only after " + took + " ms, want about " + millis);
        Env.equal("body", "later", Env.body(got));
        Env.equal("topic", env.topic(), got.getTopic());
        Env.equal("queue", r.getMessageQueue().getQueueId(), got.getQueueId());
        Env.equal("unique id", r.getMsgId(), got.getMsgId());
        Env.equal("property", "值", got.getUserProperty("own"));
        Env.equal("deliveries", new TreeSet<>(Set.of("now", "later")), inbox.bodies());
        Env.equal("REAL_TOPIC", env.topic(), got.getProperty(MessageConst.PROPERTY_REAL_TOPIC));
        Env.equal("REAL_QID", String.valueOf(got.getQueueId()), got.getProperty(MessageConst.PROPERTY_REAL_QUEUE_ID));
        return got;
    }
}
