package peer;

import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageQueue;

/** Broadcasting: every member of a group gets all messages, and keeps its offsets itself. */
final class BroadcastCases {
    private BroadcastCases() {
    }

    static void add(Map<String, Peer.Case> m) {
        m.put("broadcast", BroadcastCases::broadcast);
    }

    private static DefaultMQPushConsumer consumer(Env env, String instance, Inbox inbox) throws Exception {
        DefaultMQPushConsumer c = env.newConsumer(env.group());
        c.setInstanceName(env.group() + instance); // or the two are one client
        BroadcastCases.broadcasting(c);
        c.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        c.subscribe(env.topic(), "*");
        c.registerMessageListener(inbox);
        return env.start(c);
    }

    /** setMessageModel(BROADCASTING); the enumeration has another package in 4.9. */
    private static void broadcasting(DefaultMQPushConsumer c) throws Exception {
        Class<?> model = c.getMessageModel().getClass();
        c.getClass().getMethod("setMessageModel", model).invoke(c, model.getField("BROADCASTING").get(null));
    }

    private static void broadcast(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        Set<String> want = new TreeSet<>();
        int i = 0;
        for (MessageQueue q : env.createTopic(p, 4)) {
            env.send(p, env.message("a", "before " + i), q);
            want.add("before " + i++);
        }
        Inbox one = new Inbox();
        Inbox two = new Inbox();
        consumer(env, "_1", one);
        consumer(env, "_2", two);
        env.awaitBodies(one, want);
        env.awaitBodies(two, want);
        for (int k = 0; k < 12; k++) {
            env.send(p, env.message("a", "after " + k));
            want.add("after " + k);
        }
        env.awaitBodies(one, want);
        env.awaitBodies(two, want);
        Env.equal("deliveries to the first", 16, one.size());
        Env.equal("deliveries to the second", 16, two.size());
    }
}
