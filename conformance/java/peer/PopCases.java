package peer;

import java.lang.reflect.InvocationTargetException;
import java.util.Map;

/**
 * What only the 5.x client can do: POP consumption (codes 200050 to 200055, 200151, 400, 401) and recall (370). The cases are
 * in the class Five, in the folder peer5, which is compiled for 5.x alone.
 */
final class PopCases {
    private PopCases() {
    }

    static void add(Map<String, Peer.Case> m) {
        m.put("pop-push", five("push"));
        m.put("pop-push-retry", five("pushRetry"));
        m.put("pop-push-tags", five("pushTags"));
        m.put("pop-ack", five("ack"));
        m.put("pop-change-invisible-time", five("changeInvisibleTime"));
        m.put("pop-batch-ack", five("batchAck"));
        m.put("pop-order", five("order"));
        m.put("pop-long-polling", five("longPolling"));
        m.put("pop-peek-notification", five("peekNotification"));
        m.put("pop-assignment", five("assignment"));
        m.put("long-topic", five("longTopic"));
        m.put("timer-deliver-time", five("timerDeliverTime"));
        m.put("recall", five("recall"));
    }

    private static Peer.Case five(String method) {
        return env -> {
            Class<?> cases;
            try {
                cases = Class.forName("peer.Five");
            } catch (ClassNotFoundException e) {
                throw new Peer.Skip("it came with 5.0, so this client has none");
            }
            env.options.need5("it");
            try {
                cases.getDeclaredMethod(method, Env.class).invoke(null, env);
            } catch (InvocationTargetException e) {
                throw e.getCause() instanceof Exception ? (Exception) e.getCause() : e;
            }
        };
    }
}
