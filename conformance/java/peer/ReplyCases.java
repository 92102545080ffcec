package peer;

import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.exception.RequestTimeoutException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.RequestCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Requests that are answered: replies are codes 325 and 326. */
final class ReplyCases {
    private ReplyCases() {
    }

    static void add(Map<String, Peer.Case> m) {
        m.put("request-reply", ReplyCases::sync);
        m.put("request-reply-async", ReplyCases::async);
        m.put("request-reply-large", ReplyCases::large);
        m.put("request-timeout", ReplyCases::timeout);
    }

    /** Answers each request with its body and more; returns the bodies that it has answered. */
    static Set<String> replier(Env env, String more) throws Exception {
        Set<String> answered = ConcurrentHashMap.newKeySet();
        DefaultMQProducer p = env.start(env.newProducer(env.group() + "_replies"));
        env.consumer("*", ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, (batch, context) -> {
            for (MessageExt m : batch) {
                try {
                    Message reply = MessageUtil.createReplyMessage(m, (Env.body(m) + more).getBytes(StandardCharsets.UTF_8));
                    SendResult r = p.send(reply, 10_000);
                    if (r.getSendStatus() != SendStatus.SEND_OK) {
                        return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                    }
                    answered.add(Env.body(m));
                } catch (Exception e) {
                    e.printStackTrace();
                    return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        return answered;
    }

    static String body(Message m) {
        return new String(m.getBody(), StandardCharsets.UTF_8);
    }

    private static void sync(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 4);
        replier(env, " and back");
        for (int i = 0; i < 3; i++) {
            Message reply = p.request(env.message("a", "there " + i), env.options.timeoutMillis);
            Env.equal("reply", "there " + i + " and back", body(reply));
        }
    }

    private static void async(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 4);
        replier(env, " and back");
        CompletableFuture<Message> done = new CompletableFuture<>();
        p.request(env.message("a", "there"), new RequestCallback() {
            @Override
            public void onSuccess(Message reply) {
                if (reply != null) { // 5.x also calls when the request is sent
                    done.complete(reply);
                }
            }

            @Override
            public void onException(Throwable e) {
                done.completeExceptionally(e);
            }
        }, env.options.timeoutMillis);
        Env.equal("reply", "there and back", body(done.get(env.options.timeoutMillis, TimeUnit.MILLISECONDS)));
    }

    /** A reply that its producer compresses arrives as it was. */
    private static void large(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 1);
        StringBuilder more = new StringBuilder();
        for (int i = 0; i < 3000; i++) {
            more.append(" row ").append(i);
        }
        replier(env, more.toString());
        Message reply = p.request(env.message("a", "there"), env.options.timeoutMillis);
        Env.check(body(reply).equals("there" + more), "the reply differs");
    }

    private static void timeout(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        env.createTopic(p, 1);
        try {
            p.request(env.message("a", "nobody hears it"), 2000);
        } catch (RequestTimeoutException e) {
            return;
        }
        throw new Peer.Mismatch("a request that nobody answers has an answer");
    }
}
