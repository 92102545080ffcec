package peer;

import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.producer.TransactionSendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.sysflag.MessageSysFlag;

/** Half messages. */
final class TransactionCases {
    private TransactionCases() {
    }

    static void add(Map<String, Peer.Case> m) {
        m.put("transaction-check", TransactionCases::check);
        m.put("transaction-commit", TransactionCases::commit);
        m.put("transaction-rollback", TransactionCases::rollback);
    }

    /** Keeps the last message that was checked, and rolls back what was meant to be. */
    private static final class Listener implements TransactionListener {
        final AtomicReference<MessageExt> checked = new AtomicReference<>();

        @Override
        public LocalTransactionState executeLocalTransaction(Message m, Object arg) {
            return (LocalTransactionState) arg;
        }

        @Override
        public LocalTransactionState checkLocalTransaction(MessageExt m) {
            checked.set(m);
            return Env.body(m).equals("rolled back") ? LocalTransactionState.ROLLBACK_MESSAGE
                : LocalTransactionState.COMMIT_MESSAGE;
        }
    }

    private static TransactionMQProducer producer(Env env, Listener listener) throws Exception {
        TransactionMQProducer p = new TransactionMQProducer(env.group() + "_tx", env.hook());
        p.setTransactionListener(listener);
        return env.start(p);
    }

    private static TransactionSendResult send(Env env, TransactionMQProducer p, String body, LocalTransactionState state)
        throws Exception {
        Message m = env.message("tag", body);
        m.putUserProperty("own", "值");
        TransactionSendResult r = p.sendMessageInTransaction(m, state);
        Env.equal("send status", SendStatus.SEND_OK, r.getSendStatus());
        Env.equal("local state", state, r.getLocalTransactionState());
        return r;
    }

    private static void commit(Env env) throws Exception {
        TransactionMQProducer p = producer(env, new Listener());
        env.createTopic(p, 4);
        Inbox inbox = new Inbox();
        env.consumer("tag", ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, inbox);
        TransactionSendResult r = send(env, p, "committed", LocalTransactionState.COMMIT_MESSAGE);
        env.await("the committed message", () -> inbox.size() == 1);
        expect(env, r, inbox.get(0), "committed");
    }

    private static void expect(Env env, TransactionSendResult r, MessageExt got, String body) throws Exception {
        Env.equal("body", body, Env.body(got));
        Env.equal("topic", env.topic(), got.getTopic());
        Env.equal("tags", "tag", got.getTags());
        Env.equal("queue", r.getMessageQueue().getQueueId(), got.getQueueId());
        Env.equal("unique id", r.getMsgId(), got.getMsgId());
        Env.equal("property", "值", got.getUserProperty("own"));
        Env.equal("transaction bits of sysFlag", MessageSysFlag.TRANSACTION_COMMIT_TYPE,
            MessageSysFlag.getTransactionValue(got.getSysFlag()));
        Env.equal("TRAN_MSG", "true", got.getProperty(MessageConst.PROPERTY_TRANSACTION_PREPARED));
        Env.equal("PGROUP", env.group() + "_tx", got.getProperty(MessageConst.PROPERTY_PRODUCER_GROUP));
    }

    private static void rollback(Env env) throws Exception {
        TransactionMQProducer p = producer(env, new Listener());
        env.createTopic(p, 1);
        Inbox inbox = new Inbox();
        env.consumer("*", ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, inbox);
        send(env, p, "rolled back", LocalTransactionState.ROLLBACK_MESSAGE);
        // one queue: the second message can only come after the first
        send(env, p, "committed", LocalTransactionState.COMMIT_MESSAGE);
        env.await("the committed message", () -> inbox.size() >= 1);
        Thread.sleep(1500);
        Env.equal("delivered bodies", Set.of("committed"), inbox.bodies());
    }

    private static void check(Env env) throws Exception {
        if (env.options.transactionMillis == 0) {
            throw new Peer.Skip("the server's check interval is not known (--transaction-ms)");
        }
        Listener listener = new Listener();
        TransactionMQProducer p = producer(env, listener);
        env.createTopic(p, 4);
        Inbox inbox = new Inbox();
        env.consumer("tag", ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET, inbox);
        TransactionSendResult r = send(env, p, "checked", LocalTransactionState.UNKNOW);
        env.await("check-back", env.options.transactionMillis, () -> listener.checked.get() != null);
        MessageExt asked = listener.checked.get();
        Env.equal("checked body", "checked", Env.body(asked));
        Env.equal("checked topic", env.topic(), asked.getTopic());
        Env.equal("transaction id of the check", r.getMsgId(), asked.getTransactionId());
        Env.equal("TRANSACTION_CHECK_TIMES", "1",
            asked.getProperty(MessageConst.PROPERTY_TRANSACTION_CHECK_TIMES));
        env.await("the message after the check", () -> inbox.size() >= 1);
        expect(env, r, inbox.get(0), "checked");
    }
}
