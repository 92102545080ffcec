package peer;

import java.util.Map;
import java.util.Set;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;

/** Cases whose other half is another client; it has made the topic. They run when they are named. */
final class Partnered {
    private Partnered() {
    }

    static void add(Map<String, Peer.Case> all) {
        all.put("ask-another", Partnered::ask);
        all.put("answer-another", Partnered::answer);
    }

    /** The other client answers with "re: " and the request. */
    private static void ask(Env env) throws Exception {
        DefaultMQProducer p = env.producer();
        String large = "x".repeat(100_000); // travels packed, both ways
        for (String question : new String[] {"there", "", large}) {
            Message reply = p.request(env.message("a", "ask " + question), env.options.timeoutMillis);
            Env.check(ReplyCases.body(reply).equals("re: ask " + question), "the reply differs");
        }
    }

    /** The other client's last request is "that is all". */
    private static void answer(Env env) throws Exception {
        Set<String> answered = ReplyCases.replier(env, " and back");
        env.await("last request", () -> answered.contains("that is all"));
    }
}
