package peer;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Sends of every kind, and what a consumer finds of them. */
final class SendCases {
    private static final String HEX_ID = "[0-9A-F]{32}|[0-9A-F]{56}";

    private SendCases() {
    }

    static void add(Map<String, Peer.Case> m) {
        m.put("send-sync", SendCases::sync);
        m.put("send-async", SendCases::async);
        m.put("send-oneway", SendCases::oneway);
        m.put("send-batch", SendCases::batch);
        m.put("send-properties", SendCases::properties);
        m.put("send-compressed", SendCases::compressed);
        m.put("send-compressed-lz4", env -> compressedBy(env, "LZ4"));
        m.put("send-compressed-zstd", env -> compressedBy(env, "ZSTD"));
        m.put("send-auto-creates-topic", SendCases::autoCreate);
    }

    private static void sync(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        MessageQueue queue = env.createTopic(p, 4).get(2);
        for (int i = 0; i < 3; i++) {
            SendResult r = env.send(p, env.message("a", "sync " + i), queue);
            Env.check(r.getMsgId().matches(HEX_ID), "msgId " + r.getMsgId() + " is no unique id");
            Env.check(r.getOffsetMsgId().matches(HEX_ID), "offsetMsgId " + r.getOffsetMsgId() + " is no offset id");
            Env.equal("queue", queue, r.getMessageQueue());
            Env.equal("queue offset", (long) i, r.getQueueOffset());
        }
    }

    private static void async(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 4);
        int n = 50;
        CountDownLatch done = new CountDownLatch(n);
        AtomicReference<Object> wrong = new AtomicReference<>();
        for (int i = 0; i < n; i++) {
            p.send(env.message("a", "async " + i), new SendCallback() {
                @Override
                public void onSuccess(SendResult r) {
                    if (r.getSendStatus() != SendStatus.SEND_OK || !r.getOffsetMsgId().matches(HEX_ID)) {
                        wrong.set(r);
                    }
                    done.countDown();
                }

                @Override
                public void onException(Throwable e) {
                    wrong.set(e);
                    done.countDown();
                }
            });
        }
        Env.check(done.await(env.options.timeoutMillis, TimeUnit.MILLISECONDS), done.getCount() + " callbacks are missing");
        Env.equal("wrong callback", null, wrong.get());
        // the maximum counts what has reached the consume queue, a little after the reply
        env.await(n + " messages in the consume queues", () -> stored(p, env) == n);
    }

    static long stored(DefaultMQProducer p, Env env) throws Exception {
        long sum = 0;
        for (MessageQueue q : p.fetchPublishMessageQueues(env.topic())) {
            sum += p.maxOffset(q);
        }
        return sum;
    }

    private static void oneway(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 4);
        for (int i = 0; i < 10; i++) {
            p.sendOneway(env.message("a", "oneway " + i));
        }
        env.await("10 messages in the consume queues", () -> stored(p, env) == 10);
    }

    private static void batch(Env env) throws Exception {
        env.options.notFrom5To4("4.9 gives each message of a batch the unique id that 5.x puts on the whole batch");
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 4);
        List<Message> list = new ArrayList<>();
        TreeSet<String> want = new TreeSet<>();
        for (int i = 0; i < 5; i++) {
            Message m = env.message("t" + i, "batch " + i);
            m.putUserProperty("n", "第" + i);
            m.setKeys("key" + i);
            list.add(m);
            want.add("batch " + i);
        }
        SendResult r = p.send(list);
        Env.equal("send status", SendStatus.SEND_OK, r.getSendStatus());
        Env.equal("unique ids", 5, r.getMsgId().split(",").length);
        Env.equal("offset ids", 5, r.getOffsetMsgId().split(",").length);
        Env.equal("queue offset", 0L, r.getQueueOffset());
        Inbox inbox = new Inbox();
        env.consumer("*", ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, inbox);
        env.awaitBodies(inbox, want);
        List<String> ids = Arrays.asList(r.getMsgId().split(","));
        List<String> offsetIds = Arrays.asList(r.getOffsetMsgId().split(","));
        for (int i = 0; i < 5; i++) {
            MessageExt m = inbox.get(i);
            int n = Integer.parseInt(Env.body(m).substring(6));
            Env.equal("tags", "t" + n, m.getTags());
            Env.equal("keys", "key" + n, m.getKeys());
            Env.equal("property", "第" + n, m.getUserProperty("n"));
            Env.equal("unique id", ids.get(n), m.getMsgId());
            Env.equal("offset id", offsetIds.get(n), offsetId(m));
            Env.equal("queue offset", (long) n, m.getQueueOffset());
        }
    }

    static String offsetId(MessageExt m) throws Exception {
        return (String) m.getClass().getMethod("getOffsetMsgId").invoke(m);
    }

    private static void properties(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 4);
        Message m = env.message("标签", "正文 😀");
        m.setKeys(Arrays.asList("k1", "订单2"));
        m.setFlag(42);
        m.putUserProperty("地区", "欧洲 = \"eu\"; {x}");
        m.putUserProperty("amount", "11");
        SendResult r = env.send(p, m);
        Inbox inbox = new Inbox();
        env.consumer("标签", ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, inbox);
        env.await("the message", () -> inbox.size() == 1);
        MessageExt got = inbox.get(0);
        Env.equal("body", "正文 😀", Env.body(got));
        Env.equal("tags", "标签", got.getTags());
        Env.equal("keys", "k1 订单2", got.getKeys());
        Env.equal("flag", 42, got.getFlag());
        Env.equal("property", "欧洲 = \"eu\"; {x}", got.getUserProperty("地区"));
        Env.equal("property", "11", got.getUserProperty("amount"));
        Env.equal("topic", env.topic(), got.getTopic());
        Env.equal("unique id", r.getMsgId(), got.getMsgId());
        Env.equal("offset id", r.getOffsetMsgId(), offsetId(got));
        Env.equal("queue", r.getMessageQueue().getQueueId(), got.getQueueId());
        Env.equal("queue offset", r.getQueueOffset(), got.getQueueOffset());
        Env.equal("broker", r.getMessageQueue().getBrokerName(), got.getBrokerName());
        Env.equal("reconsume times", 0, got.getReconsumeTimes());
        Env.check(got.getProperty("CLUSTER") != null, "the broker did not add the property CLUSTER");
        Env.check(got.getBornHost() != null && got.getStoreHost() != null, "born or store host is missing");
        Env.check(got.getStoreTimestamp() > 0 && got.getBornTimestamp() > 0, "a timestamp is missing");
    }

    private static void compressed(Env env) throws Exception {
        compressed(env, env.producer());
    }

    /** By another way than zlib, which clients have from 5.0 on. */
    private static void compressedBy(Env env, String kind) throws Exception {
        DefaultMQProducer p = env.producer();
        try {
            Class<?> type = Class.forName("org.apache.rocketmq.common.compression.CompressionType");
            p.getClass().getMethod("setCompressType", type).invoke(p, type.getMethod("of", String.class).invoke(null, kind));
        } catch (ClassNotFoundException | NoSuchMethodException e) {
            throw new Peer.Skip("clients of 4.9 pack by zlib only");
        }
        compressed(env, p);
    }

    private static void compressed(Env env, DefaultMQProducer p) throws Exception {
        env.createTopic(p, 4);
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < 20_000; i++) {
            text.append("row ").append(i).append(" 数据\n");
        }
        Message m = new Message(env.topic(), "big", text.toString().getBytes(StandardCharsets.UTF_8));
        Env.check(m.getBody().length > p.getCompressMsgBodyOverHowmuch(), "the body is too small to be compressed");
        env.send(p, m);
        Inbox inbox = new Inbox();
        env.consumer("*", ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, inbox);
        env.await("the message", () -> inbox.size() == 1);
        Env.check(Env.body(inbox.get(0)).equals(text.toString()), "the body differs after the way there and back");
        Env.check(inbox.get(0).getStoreSize() < text.length() / 2,
            "the record has " + inbox.get(0).getStoreSize() + " bytes: it is not stored compressed");
    }

    private static void autoCreate(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        SendResult r = env.send(p, env.message("a", "first"));
        Env.equal("topic", env.topic(), r.getMessageQueue().getTopic());
        env.awaitQueues(p, 4);
    }
}
