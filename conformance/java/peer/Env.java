package peer;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.acl.common.AclClientRPCHook;
import org.apache.rocketmq.acl.common.SessionCredentials;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.exception.RemotingException;
import org.apache.rocketmq.remoting.RPCHook;

/** What one case works with; close shuts down every client that the case started, the newest first. */
final class Env implements AutoCloseable {
    final Options options;
    private final String name;
    private final Deque<Runnable> closers = new ArrayDeque<>();

    Env(Options options, String name) {
        this.options = options;
        this.name = name.replace('-', '_');
    }

    @Override
    public void close() {
        while (!closers.isEmpty()) {
            try {
                closers.pop().run();
            } catch (RuntimeException e) {
                e.printStackTrace();
            }
        }
    }

    String topic() {
        return options.prefix + "_t_" + name;
    }

    String group() {
        return options.prefix + "_g_" + name;
    }

    private void configure(ClientConfig client) {
        client.setNamesrvAddr(options.nameServer);
        client.setPollNameServerInterval(500);
        client.setHeartbeatBrokerInterval(1000);
    }

    /** Signs requests, as the options say; null: nobody does. */
    RPCHook hook() {
        if (options.accessKey.isEmpty()) {
            return null;
        }
        return new AclClientRPCHook(new SessionCredentials(options.accessKey, options.secretKey));
    }

    DefaultMQProducer newProducer(String group) {
        return new DefaultMQProducer(group, hook());
    }

    DefaultMQProducer newProducer(String group, boolean trace, String traceTopic) {
        return new DefaultMQProducer(group, hook(), trace, traceTopic);
    }

    DefaultMQPushConsumer newConsumer(String group) {
        return new DefaultMQPushConsumer(group, hook(), new AllocateMessageQueueAveragely());
    }

    DefaultMQPushConsumer newConsumer(String group, boolean trace, String traceTopic) {
        return new DefaultMQPushConsumer(group, hook(), new AllocateMessageQueueAveragely(), trace, traceTopic);
    }

    DefaultMQProducer producer() throws MQClientException {
        DefaultMQProducer p = newProducer(options.prefix + "_p_" + name);
        return start(p);
    }

    <P extends DefaultMQProducer> P start(P p) throws MQClientException {
        configure(p);
        p.setSendMsgTimeout(10_000);
        p.start();
        closers.push(p::shutdown);
        return p;
    }

    DefaultMQPushConsumer consumer(String expression, ConsumeFromWhere from, MessageListenerConcurrently listener)
        throws MQClientException {
        DefaultMQPushConsumer c = newConsumer(group());
        c.setConsumeFromWhere(from);
        c.subscribe(topic(), expression);
        c.registerMessageListener(listener);
        return start(c);
    }

    DefaultMQPushConsumer start(DefaultMQPushConsumer c) throws MQClientException {
        configure(c);
        c.setConsumeThreadMin(2);
        c.setConsumeThreadMax(2);
        c.start();
        closers.push(c::shutdown);
        return c;
    }

    DefaultLitePullConsumer litePull() throws MQClientException {
        DefaultLitePullConsumer c = new DefaultLitePullConsumer(group(), hook());
        configure(c);
        closers.push(c::shutdown);
        return c;
    }

    DefaultMQPullConsumer pull(String group) throws MQClientException {
        DefaultMQPullConsumer c = new DefaultMQPullConsumer(group, hook());
        configure(c);
        c.start();
        closers.push(c::shutdown);
        return c;
    }

    /** Creates the case's topic by the producer's API and waits until clients can route to it. */
    List<MessageQueue> createTopic(DefaultMQProducer p, int queues) throws Exception {
        for (int attempt = 1; ; attempt++) {
            try {
                create(p, queues);
                break;
            } catch (InvocationTargetException e) {
                Exception why = e.getCause() instanceof Exception ? (Exception) e.getCause() : e;
                // A connection that is slow to come, by TLS above all; it is made in the background.
                if (attempt == 5 || !(why.getCause() instanceof RemotingException)) {
                    throw why;
                }
                Thread.sleep(500L * attempt);
            }
        }
        return awaitQueues(p, queues);
    }

    private void create(DefaultMQProducer p, int queues) throws ReflectiveOperationException {
        try {
            Method create = p.getClass().getMethod("createTopic", String.class, String.class, int.class, Map.class);
            create.invoke(p, "TBW102", topic(), queues, new HashMap<>());
        } catch (NoSuchMethodException e) { // 4.9
            Method create = p.getClass().getMethod("createTopic", String.class, String.class, int.class);
            create.invoke(p, "TBW102", topic(), queues);
        }
    }

    List<MessageQueue> awaitQueues(DefaultMQProducer p, int queues) throws Exception {
        List<MessageQueue> found = new ArrayList<>();
        await(queues + " publish queues of " + topic(), () -> {
            found.clear();
            try {
                found.addAll(p.fetchPublishMessageQueues(topic()));
            } catch (MQClientException e) {
                return false; // no route yet
            }
            return found.size() == queues;
        });
        Collections.sort(found);
        return found;
    }

    Message message(String tags, String body) {
        return new Message(topic(), tags, body.getBytes(StandardCharsets.UTF_8));
    }

    SendResult send(DefaultMQProducer p, Message m) throws Exception {
        SendResult r = p.send(m);
        equal("send status", SendStatus.SEND_OK, r.getSendStatus());
        return r;
    }

    SendResult send(DefaultMQProducer p, Message m, MessageQueue queue) throws Exception {
        SendResult r = p.send(m, queue);
        equal("send status", SendStatus.SEND_OK, r.getSendStatus());
        return r;
    }

    static String body(MessageExt m) {
        return new String(m.getBody(), StandardCharsets.UTF_8);
    }

    /** Waits until the condition holds, or fails the case and names what was awaited. */
    void await(String what, Callable<Boolean> condition) throws Exception {
        await(what, options.timeoutMillis, condition);
    }

    void await(String what, long millis, Callable<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(millis);
        while (!condition.call()) {
            if (System.nanoTime() > deadline) {
                throw new Peer.Mismatch("no " + what + " within " + millis + " ms");
            }
            Thread.sleep(20);
        }
    }

    static void equal(String what, Object want, Object got) throws Peer.Mismatch {
        if (!Objects.equals(want, got)) {
            throw new Peer.Mismatch(what + " is " + got + ", want " + want);
        }
    }

    static void check(boolean ok, String otherwise) throws Peer.Mismatch {
        if (!ok) {
            throw new Peer.Mismatch(otherwise);
        }
    }

    /** Waits until all of the bodies have arrived; any other body fails the case. */
    void awaitBodies(Inbox inbox, Set<String> want) throws Exception {
        await("delivery of " + want.size() + " messages (" + inbox.summary() + " arrived)",
            () -> inbox.bodies().containsAll(want));
        equal("set of delivered bodies", want, inbox.bodies());
    }
}
