package peer;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.AckCallback;
import org.apache.rocketmq.client.consumer.AckResult;
import org.apache.rocketmq.client.consumer.AckStatus;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PopCallback;
import org.apache.rocketmq.client.consumer.PopResult;
import org.apache.rocketmq.client.consumer.PopStatus;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.impl.MQClientAPIImpl;
import org.apache.rocketmq.client.impl.factory.MQClientInstance;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.constant.ConsumeInitMode;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.filter.ExpressionType;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.common.message.MessageQueueAssignment;
import org.apache.rocketmq.common.message.MessageRequestMode;
import org.apache.rocketmq.remoting.CommandCustomHeader;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.RequestCode;
import org.apache.rocketmq.remoting.protocol.ResponseCode;
import org.apache.rocketmq.remoting.protocol.header.AckMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.ChangeInvisibleTimeRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.ExtraInfoUtil;
import org.apache.rocketmq.remoting.protocol.header.NotificationRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.PeekMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.PopMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;

/** Cases that need classes of the 5.x client; PopCases names them. */
final class Five {
    /** How much later than asked Apache may make a message visible again. */
    private static final long SLACK = 15_000;

    private Five() {
    }

    /** Pops and acknowledges as a proxy does, on a producer's connections. */
    private static final class Raw {
        final Env env;
        final DefaultMQProducer producer;
        final MQClientAPIImpl api;
        final String broker;
        final String addr;

        Raw(Env env, int queues) throws Exception {
            this.env = env;
            producer = env.producer();
            broker = env.createTopic(producer, queues).get(0).getBrokerName();
            MQClientInstance client = producer.getDefaultMQProducerImpl().getMqClientFactory();
            api = client.getMQClientAPIImpl();
            String[] found = new String[1];
            env.await("address of " + broker, () -> { // without one the client asks the name server
                client.updateTopicRouteInfoFromNameServer(env.topic());
                found[0] = client.findBrokerAddressInPublish(broker);
                return found[0] != null;
            });
            addr = found[0];
        }

        PopMessageRequestHeader request(long invisible) {
            PopMessageRequestHeader h = new PopMessageRequestHeader();
            h.setConsumerGroup(env.group());
            h.setTopic(env.topic());
            h.setQueueId(-1);
            h.setMaxMsgNums(32);
            h.setInvisibleTime(invisible);
            h.setPollTime(0);
            h.setBornTime(System.currentTimeMillis());
            h.setInitMode(ConsumeInitMode.MIN);
            h.setExpType(ExpressionType.TAG);
            h.setExp("*");
            h.setOrder(false);
            return h;
        }

        PopResult pop(PopMessageRequestHeader h) throws Exception {
            CompletableFuture<PopResult> future = new CompletableFuture<>();
            api.popMessageAsync(broker, addr, h, h.getPollTime() + 5000, new PopCallback() {
                @Override
                public void onSuccess(PopResult r) {
                    future.complete(r);
                }

                @Override
                public void onException(Throwable e) {
                    future.completeExceptionally(e);
                }
            });
            return future.get(h.getPollTime() + 10_000, TimeUnit.MILLISECONDS);
        }

        List<MessageExt> popped(PopMessageRequestHeader h) throws Exception {
            PopResult r = pop(h);
            return r.getPopStatus() == PopStatus.FOUND ? r.getMsgFoundList() : new ArrayList<>();
        }

        /** Pops until as many messages have come. */
        List<MessageExt> popAll(PopMessageRequestHeader h, int count) throws Exception {
            List<MessageExt> all = new ArrayList<>();
            env.await(count + " popped messages", () -> {
                h.setBornTime(System.currentTimeMillis());
                all.addAll(popped(h));
                return all.size() >= count;
            });
            Env.equal("number of popped messages", count, all.size());
            return all;
        }

        private static final class Acked extends CompletableFuture<AckResult> implements AckCallback {
            @Override
            public void onSuccess(AckResult r) {
                complete(r);
            }

            @Override
            public void onException(Throwable e) {
                completeExceptionally(e);
            }
        }

        void ack(String receipt) throws Exception {
            AckMessageRequestHeader h = new AckMessageRequestHeader();
            String[] parts = ExtraInfoUtil.split(receipt);
            h.setTopic(ExtraInfoUtil.getRealTopic(parts, env.topic(), env.group()));
            h.setConsumerGroup(env.group());
            h.setQueueId(ExtraInfoUtil.getQueueId(parts));
            h.setOffset(ExtraInfoUtil.getQueueOffset(parts));
            h.setExtraInfo(receipt);
            Acked done = new Acked();
            api.ackMessageAsync(addr, 5000, done, h);
            Env.equal("ack status", AckStatus.OK, done.get(10, TimeUnit.SECONDS).getStatus());
        }

        /** Returns the new receipt. */
        String change(String receipt, long invisible) throws Exception {
            ChangeInvisibleTimeRequestHeader h = new ChangeInvisibleTimeRequestHeader();
            String[] parts = ExtraInfoUtil.split(receipt);
            h.setTopic(ExtraInfoUtil.getRealTopic(parts, env.topic(), env.group()));
            h.setConsumerGroup(env.group());
            h.setQueueId(ExtraInfoUtil.getQueueId(parts));
            h.setOffset(ExtraInfoUtil.getQueueOffset(parts));
            h.setExtraInfo(receipt);
            h.setInvisibleTime(invisible);
            Acked done = new Acked();
            api.changeInvisibleTimeAsync(broker, addr, h, 5000, done);
            AckResult r = done.get(10, TimeUnit.SECONDS);
            Env.equal("change status", AckStatus.OK, r.getStatus());
            return r.getExtraInfo();
        }

        RemotingCommand call(int code, CommandCustomHeader h) throws Exception {
            return api.getRemotingClient().invokeSync(addr, RemotingCommand.createRequestCommand(code, h), 15_000);
        }
    }

    private static String receipt(MessageExt m) {
        return m.getProperty(MessageConst.PROPERTY_POP_CK);
    }

    private static Set<String> bodies(List<MessageExt> list) {
        Set<String> set = new TreeSet<>();
        for (MessageExt m : list) {
            set.add(Env.body(m));
        }
        return set;
    }

    private static Set<String> send(Env env, DefaultMQProducer p, int count) throws Exception {
        Set<String> sent = new TreeSet<>();
        for (int i = 0; i < count; i++) {
            env.send(p, env.message("a", "m" + i));
            sent.add("m" + i);
        }
        return sent;
    }

    /** A push consumer that the broker tells to pop. */
    private static DefaultMQPushConsumer popConsumer(Env env, Raw raw, String tags, MessageListenerConcurrently listener)
        throws Exception {
        raw.api.setMessageRequestMode(raw.addr, env.topic(), env.group(), MessageRequestMode.POP, 0, 5000);
        DefaultMQPushConsumer c = env.newConsumer(env.group());
        c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        c.subscribe(env.topic(), tags);
        c.registerMessageListener(listener);
        c.setClientRebalance(false);
        return env.start(c);
    }

    private static void awaitPopping(Env env, DefaultMQPushConsumer c) throws Exception {
        env.await("assignment to pop", () ->
            !c.getDefaultMQPushConsumerImpl().getRebalanceImpl().getPopProcessQueueTable().isEmpty());
    }

    static void push(Env env) throws Exception {
        Raw raw = new Raw(env, 4);
        Inbox one = new Inbox();
        awaitPopping(env, popConsumer(env, raw, "*", one));
        Set<String> sent = send(env, raw.producer, 20);
        env.awaitBodies(one, sent);
        Env.equal("deliveries", 20, one.size());
        for (int i = 0; i < 20; i++) {
            MessageExt m = one.get(i);
            Env.equal("topic", env.topic(), m.getTopic());
            Env.equal("reconsumeTimes", 0, m.getReconsumeTimes());
            Env.check(receipt(m) != null, "no POP_CK");
        }
        Env.check(one.queues().size() > 1, "all came from one queue");
    }

    static void pushRetry(Env env) throws Exception {
        Raw raw = new Raw(env, 1);
        List<MessageExt> seen = new ArrayList<>();
        List<Long> times = new ArrayList<>();
        DefaultMQPushConsumer c = popConsumer(env, raw, "*", (List<MessageExt> batch, ConsumeConcurrentlyContext context) -> {
            synchronized (seen) {
                seen.addAll(batch);
                times.add(System.currentTimeMillis());
            }
            return batch.get(0).getReconsumeTimes() == 0 ? ConsumeConcurrentlyStatus.RECONSUME_LATER : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        awaitPopping(env, c);
        env.send(raw.producer, env.message("a", "again"));
        env.await("the second delivery", () -> {
            synchronized (seen) {
                return seen.size() == 2;
            }
        });
        Thread.sleep(2000);
        synchronized (seen) {
            Env.equal("deliveries", 2, seen.size());
            long took = times.get(1) - times.get(0);
            Env.check(took >= 9_900 && took < 10_000 + SLACK, "came again after " + took + " ms, want about 10,000 (popDelayLevel)");
            MessageExt m = seen.get(1);
            Env.equal("body", "again", Env.body(m));
            Env.equal("topic", env.topic(), m.getTopic());
            Env.equal("reconsumeTimes", 1, m.getReconsumeTimes());
            Env.check(m.getProperty(MessageConst.PROPERTY_FIRST_POP_TIME) != null, "no 1ST_POP_TIME");
            Env.equal("ORIGIN_GROUP", env.group(), m.getProperty(MessageConst.PROPERTY_ORIGIN_GROUP));
        }
    }

    static void pushTags(Env env) throws Exception {
        Raw raw = new Raw(env, 2);
        Inbox inbox = new Inbox();
        awaitPopping(env, popConsumer(env, raw, "yes || maybe", inbox));
        for (String tag : new String[] {"yes", "no", "maybe", "never"}) {
            env.send(raw.producer, env.message(tag, tag));
        }
        env.awaitBodies(inbox, new TreeSet<>(Set.of("yes", "maybe")));
    }

    static void ack(Env env) throws Exception {
        Raw raw = new Raw(env, 1);
        Env.equal("pop status", PopStatus.POLLING_NOT_FOUND, raw.pop(raw.request(3000)).getPopStatus());
        send(env, raw.producer, 3);
        List<MessageExt> first = raw.popAll(raw.request(3000), 3);
        Env.equal("bodies", new TreeSet<>(Set.of("m0", "m1", "m2")), bodies(first));
        Env.check(raw.popped(raw.request(3000)).isEmpty(), "invisible messages were popped");
        raw.ack(receipt(first.get(1)));
        long began = System.currentTimeMillis();
        List<MessageExt> again = raw.popAll(raw.request(30_000), 2);
        long took = System.currentTimeMillis() - began;
        Env.check(took >= 2000 && took < 3000 + SLACK, "came again after " + took + " ms");
        Env.equal("bodies", new TreeSet<>(Set.of("m0", "m2")), bodies(again));
        for (MessageExt m : again) {
            Env.equal("reconsumeTimes", 1, m.getReconsumeTimes());
            Env.equal("topic", env.topic(), m.getTopic());
            Env.equal("retry mark", "1", ExtraInfoUtil.split(receipt(m))[4]);
            raw.ack(receipt(m));
        }
        raw.ack(receipt(again.get(0))); // once more is no error
    }

    static void changeInvisibleTime(Env env) throws Exception {
        Raw raw = new Raw(env, 1);
        send(env, raw.producer, 2);
        List<MessageExt> first = raw.popAll(raw.request(60_000), 2);
        String sooner = raw.change(receipt(first.get(0)), 3000);
        String later = raw.change(receipt(first.get(1)), 3000);
        Env.check(!later.equals(receipt(first.get(1))), "the receipt has not changed");
        raw.ack(later);
        List<MessageExt> again = raw.popAll(raw.request(60_000), 1);
        Env.equal("body", Env.body(first.get(0)), Env.body(again.get(0)));
        Env.equal("reconsumeTimes", 1, again.get(0).getReconsumeTimes());
        raw.ack(sooner); // of no use any more, and no error
        raw.ack(raw.change(receipt(again.get(0)), 60_000));
    }

    static void batchAck(Env env) throws Exception {
        Raw raw = new Raw(env, 1);
        send(env, raw.producer, 10);
        List<MessageExt> first = raw.popAll(raw.request(3000), 10);
        List<String> receipts = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            if (i != 4) {
                receipts.add(receipt(first.get(i)));
            }
        }
        Raw.Acked done = new Raw.Acked();
        raw.api.batchAckMessageAsync(raw.addr, 5000, done, env.topic(), env.group(), receipts);
        Env.equal("ack status", AckStatus.OK, done.get(10, TimeUnit.SECONDS).getStatus());
        List<MessageExt> again = raw.popAll(raw.request(30_000), 1);
        Env.equal("body", Env.body(first.get(4)), Env.body(again.get(0)));
        raw.ack(receipt(again.get(0)));
    }

    static void order(Env env) throws Exception {
        Raw raw = new Raw(env, 1);
        send(env, raw.producer, 4);
        PopMessageRequestHeader h = raw.request(5000);
        h.setOrder(true);
        h.setMaxMsgNums(2);
        List<MessageExt> first = raw.popped(h);
        Env.equal("bodies", new TreeSet<>(Set.of("m0", "m1")), bodies(first));
        Env.equal("revive queue", "999", ExtraInfoUtil.split(receipt(first.get(0)))[3]);
        h.setBornTime(System.currentTimeMillis());
        Env.check(raw.popped(h).isEmpty(), "a locked queue was popped");
        raw.ack(receipt(first.get(0)));
        h.setBornTime(System.currentTimeMillis());
        Env.check(raw.popped(h).isEmpty(), "a queue with a message that is not acknowledged was popped");
        Thread.sleep(5500);
        h.setBornTime(System.currentTimeMillis());
        List<MessageExt> second = raw.popped(h); // from the first that is not acknowledged
        Env.equal("bodies", new TreeSet<>(Set.of("m1", "m2")), bodies(second));
        Env.equal("reconsumeTimes of m1", 1, second.get(0).getReconsumeTimes());
        Env.equal("reconsumeTimes of m2", 0, second.get(1).getReconsumeTimes());
        for (MessageExt m : second) {
            raw.ack(receipt(m));
        }
        h.setBornTime(System.currentTimeMillis());
        List<MessageExt> third = raw.popped(h);
        Env.equal("bodies", new TreeSet<>(Set.of("m3")), bodies(third));
        raw.ack(receipt(third.get(0)));
    }

    static void longPolling(Env env) throws Exception {
        Raw raw = new Raw(env, 4);
        PopMessageRequestHeader h = raw.request(60_000);
        h.setPollTime(2000);
        long began = System.nanoTime();
        Env.equal("pop status", PopStatus.POLLING_NOT_FOUND, raw.pop(h).getPopStatus());
        long took = (System.nanoTime() - began) / 1_000_000;
        Env.check(took >= 1900 && took < 4000, "a pop of 2 s waited " + took + " ms");
        h.setPollTime(10_000);
        h.setBornTime(System.currentTimeMillis());
        Thread sender = new Thread(() -> {
            try {
                Thread.sleep(1000);
                env.send(raw.producer, env.message("a", "awaited"));
            } catch (Exception e) {
                e.printStackTrace();
            }
        });
        began = System.nanoTime();
        sender.start();
        PopResult r = raw.pop(h);
        took = (System.nanoTime() - began) / 1_000_000;
        sender.join();
        Env.equal("pop status", PopStatus.FOUND, r.getPopStatus());
        Env.check(took >= 900 && took < 4000, "the message came after " + took + " ms");
        raw.ack(receipt(r.getMsgFoundList().get(0)));
    }

    static void peekNotification(Env env) throws Exception {
        Raw raw = new Raw(env, 1);
        PeekMessageRequestHeader peek = new PeekMessageRequestHeader();
        peek.setConsumerGroup(env.group());
        peek.setTopic(env.topic());
        peek.setQueueId(-1);
        peek.setMaxMsgNums(8);
        Env.equal("peek of nothing", ResponseCode.PULL_NOT_FOUND, raw.call(RequestCode.PEEK_MESSAGE, peek).getCode());
        NotificationRequestHeader notify = new NotificationRequestHeader();
        notify.setConsumerGroup(env.group());
        notify.setTopic(env.topic());
        notify.setQueueId(-1);
        notify.setPollTime(0);
        notify.setBornTime(System.currentTimeMillis());
        Env.equal("hasMsg", "false", raw.call(RequestCode.NOTIFICATION, notify).getExtFields().get("hasMsg"));
        send(env, raw.producer, 3);
        // Apache's brokers can read a message a little after its send was answered.
        env.await("the messages", () -> {
            RemotingCommand r = raw.call(RequestCode.PEEK_MESSAGE, peek);
            return r.getCode() == ResponseCode.SUCCESS && MessageDecoder.decodes(java.nio.ByteBuffer.wrap(r.getBody())).size() == 3;
        });
        for (int i = 0; i < 2; i++) { // a peek takes nothing
            RemotingCommand r = raw.call(RequestCode.PEEK_MESSAGE, peek);
            Env.equal("peek", ResponseCode.SUCCESS, r.getCode());
            Env.equal("peeked", new TreeSet<>(Set.of("m0", "m1", "m2")), bodies(MessageDecoder.decodes(java.nio.ByteBuffer.wrap(r.getBody()))));
        }
        notify.setBornTime(System.currentTimeMillis());
        Env.equal("hasMsg", "true", raw.call(RequestCode.NOTIFICATION, notify).getExtFields().get("hasMsg"));
        for (MessageExt m : raw.popAll(raw.request(60_000), 3)) {
            raw.ack(receipt(m));
        }
        Env.equal("peek of what was popped", ResponseCode.PULL_NOT_FOUND, raw.call(RequestCode.PEEK_MESSAGE, peek).getCode());
        notify.setBornTime(System.currentTimeMillis());
        Env.equal("hasMsg", "false", raw.call(RequestCode.NOTIFICATION, notify).getExtFields().get("hasMsg"));
    }

    static void assignment(Env env) throws Exception {
        Raw raw = new Raw(env, 4);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer c = env.consumer("*", ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, inbox);
        String id = c.getDefaultMQPushConsumerImpl().getmQClientFactory().getClientId();
        Set<Integer> queues = new HashSet<>();
        env.await("assignment of 4 queues", () -> {
            queues.clear();
            Set<MessageQueueAssignment> all = raw.api.queryAssignment(raw.addr, env.topic(), env.group(), id, "AVG", MessageModel.CLUSTERING, 5000);
            for (MessageQueueAssignment a : all == null ? new HashSet<MessageQueueAssignment>() : all) {
                Env.equal("mode", MessageRequestMode.PULL, a.getMode());
                queues.add(a.getMessageQueue().getQueueId());
            }
            return queues.size() == 4;
        });
        Env.equal("assignment by an unknown strategy", null,
            raw.api.queryAssignment(raw.addr, env.topic(), env.group(), id, "none", MessageModel.CLUSTERING, 5000));
        raw.api.setMessageRequestMode(raw.addr, env.topic(), env.group(), MessageRequestMode.POP, 0, 5000);
        Set<MessageQueueAssignment> all = raw.api.queryAssignment(raw.addr, env.topic(), env.group(), id, "AVG", MessageModel.CLUSTERING, 5000);
        Env.equal("number of assignments", 1, all.size());
        MessageQueueAssignment a = all.iterator().next();
        Env.equal("mode", MessageRequestMode.POP, a.getMode());
        Env.equal("queue", new MessageQueue(env.topic(), raw.broker, -1), a.getMessageQueue());
        try {
            raw.api.setMessageRequestMode(raw.addr, env.topic() + "_none", env.group(), MessageRequestMode.POP, 0, 5000);
        } catch (MQClientException e) {
            Env.equal("code for a topic that does not exist", ResponseCode.TOPIC_NOT_EXIST, e.getResponseCode());
            return;
        }
        throw new Peer.Mismatch("the mode of a topic that does not exist was set");
    }

    /** The topic of a retry has more than 127 bytes: its records are of version 2. */
    static void longTopic(Env outer) throws Exception {
        try (Env env = new Env(outer.options, "l".repeat(70))) {
            Raw raw = new Raw(env, 1);
            send(env, raw.producer, 1);
            raw.popAll(raw.request(1000), 1);
            MessageExt again = raw.popAll(raw.request(60_000), 1).get(0);
            Env.equal("topic", env.topic(), again.getTopic());
            Env.equal("reconsumeTimes", 1, again.getReconsumeTimes());
            String retry = "%RETRY%" + env.group() + "_" + env.topic();
            Env.check(retry.length() > 127, "the retry topic has " + retry.length() + " characters");
            DefaultMQPullConsumer c = env.pull(env.group());
            // It learns the broker's address: Apache tells the name server of the retry topic up to 30 s later.
            c.getDefaultMQPullConsumerImpl().getRebalanceImpl().getmQClientFactory().updateTopicRouteInfoFromNameServer(env.topic());
            PullResult r = c.pull(new MessageQueue(retry, raw.broker, 0), "*", 0, 8, 5000);
            Env.equal("pull status", PullStatus.FOUND, r.getPullStatus());
            MessageExt m = r.getMsgFoundList().get(0);
            Env.equal("topic in the record", retry, m.getTopic());
            Env.equal("body", "m0", Env.body(m));
            Env.equal("ORIGIN_GROUP", env.group(), m.getProperty(MessageConst.PROPERTY_ORIGIN_GROUP));
            raw.ack(receipt(again));
        }
    }

    static void timerDeliverTime(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 1);
        Inbox inbox = new Inbox();
        env.consumer("*", ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, inbox);
        Message past = env.message("a", "past");
        past.setDeliverTimeMs(System.currentTimeMillis() - 1000);
        env.send(p, past);
        env.await("the message of the past", () -> inbox.size() == 1);
        long at = System.currentTimeMillis() + 3000;
        Message later = env.message("a", "later");
        later.setDeliverTimeMs(at);
        env.send(p, later);
        env.await("the message", () -> inbox.size() == 2);
        long late = inbox.arrival(1) - at;
        Env.check(late >= -1000 && late < 5000, "arrived " + late + " ms after its time");
        Env.equal("TIMER_DELIVER_MS", String.valueOf(at), inbox.get(1).getProperty(MessageConst.PROPERTY_TIMER_DELIVER_MS));
    }

    static void recall(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 1);
        Inbox inbox = new Inbox();
        env.consumer("*", ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, inbox);
        SendResult plain = env.send(p, env.message("a", "plain"));
        Env.equal("handle of a plain message", null, plain.getRecallHandle());
        Message[] timers = new Message[2];
        SendResult[] sent = new SendResult[2];
        long at = System.currentTimeMillis() + 6000;
        for (int i = 0; i < 2; i++) {
            timers[i] = env.message("a", i == 0 ? "recalled" : "kept");
            timers[i].setDeliverTimeMs(at);
            sent[i] = env.send(p, timers[i]);
            Env.check(sent[i].getRecallHandle() != null, "no recall handle");
        }
        Env.equal("id of what was recalled", sent[0].getMsgId(), p.recallMessage(env.topic(), sent[0].getRecallHandle()));
        env.await("the other message", () -> inbox.size() >= 2);
        Thread.sleep(2500);
        Env.equal("deliveries", new TreeSet<>(Set.of("plain", "kept")), inbox.bodies());
        try {
            p.recallMessage(env.topic(), sent[1].getRecallHandle());
        } catch (MQBrokerException e) {
            Env.equal("code of a recall that is too late", ResponseCode.ILLEGAL_OPERATION, e.getResponseCode());
            return;
        }
        throw new Peer.Mismatch("a recall that is too late was taken");
    }
}
