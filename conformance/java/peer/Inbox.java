package peer;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.message.MessageExt;

/** A listener that keeps what it gets, in order, and acknowledges it. */
class Inbox implements MessageListenerConcurrently {
    private final List<MessageExt> messages = new ArrayList<>(); // guarded by this
    private final List<Long> arrivals = new ArrayList<>(); // guarded by this

    @Override
    public ConsumeConcurrentlyStatus consumeMessage(List<MessageExt> batch, ConsumeConcurrentlyContext context) {
        synchronized (this) {
            for (MessageExt m : batch) {
                messages.add(m);
                arrivals.add(System.currentTimeMillis());
            }
        }
        return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
    }

    synchronized int size() {
        return messages.size();
    }

    synchronized MessageExt get(int i) {
        return messages.get(i);
    }

    synchronized long arrival(int i) {
        return arrivals.get(i);
    }

    synchronized Set<String> bodies() {
        Set<String> set = new TreeSet<>();
        for (MessageExt m : messages) {
            set.add(Env.body(m));
        }
        return set;
    }

    synchronized Set<Integer> queues() {
        Set<Integer> set = new HashSet<>();
        for (MessageExt m : messages) {
            set.add(m.getQueueId());
        }
        return set;
    }

    synchronized void clear() {
        messages.clear();
        arrivals.clear();
    }

    synchronized String summary() {
        return messages.size() + " so far";
    }
}
