package golden;

import java.io.ByteArrayOutputStream;
import java.lang.reflect.Constructor;
import java.lang.reflect.Method;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.common.UtilAll;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.sysflag.MessageSysFlag;
import org.apache.rocketmq.store.config.MessageStoreConfig;

/** Message records: as the store appends them, as MessageDecoder.encode writes them, batches, offset ids. */
final class Records {
    private static final String LONG_TOPIC = "T".repeat(200);

    private Records() {
    }

    static void write(Golden g) throws Exception {
        for (Case c : cases()) {
            if (!c.v2) {
                client(g, c);
            }
            if (!c.v2 || g.is5()) {
                store(g, c);
            }
        }
        pullBody(g);
        compressed(g);
        batches(g);
        offsetIds(g);
    }

    /** One message, before any encoder saw it. */
    private static final class Case {
        String name;
        String topic = "TopicTest";
        byte[] body = Golden.utf8("Hello rocketmq = 你好");
        int queueId = 3;
        int flag = 5;
        long queueOffset = 1234567890123L;
        long physicalOffset = 98765432109876L;
        int sysFlag;
        String bornHost = "10.1.2.3";
        String storeHost = "127.0.0.1";
        int reconsumeTimes;
        long prepared;
        boolean v2;
        String[] properties = {"UNIQ_KEY", "7F0000010001B4AAC21E0000000000A1", "TAGS", "标签", "KEYS", "k1 k2"};

        Case(String name) {
            this.name = name;
        }
    }

    private static List<Case> cases() {
        List<Case> list = new ArrayList<>();
        list.add(new Case("plain"));
        Case c = new Case("empty-body");
        c.body = new byte[0];
        list.add(c);
        c = new Case("no-properties");
        c.properties = new String[0];
        list.add(c);
        c = new Case("born-v6");
        c.bornHost = "2001:db8::a:1";
        c.sysFlag = MessageSysFlag.BORNHOST_V6_FLAG;
        list.add(c);
        c = new Case("store-v6");
        c.storeHost = "fe80::1";
        c.sysFlag = MessageSysFlag.STOREHOSTADDRESS_V6_FLAG;
        list.add(c);
        c = new Case("both-v6");
        c.bornHost = "2001:db8::a:1";
        c.storeHost = "fe80::1";
        c.sysFlag = MessageSysFlag.BORNHOST_V6_FLAG | MessageSysFlag.STOREHOSTADDRESS_V6_FLAG;
        list.add(c);
        int[] states = {MessageSysFlag.TRANSACTION_PREPARED_TYPE, MessageSysFlag.TRANSACTION_COMMIT_TYPE,
            MessageSysFlag.TRANSACTION_ROLLBACK_TYPE};
        String[] names = {"prepared", "committed", "rolled-back"};
        for (int i = 0; i < states.length; i++) {
            c = new Case(names[i]);
            c.sysFlag = states[i];
            c.prepared = 77;
            c.properties = new String[] {"TRAN_MSG", "true", "PGROUP", "PayGroup"};
            list.add(c);
        }
        c = new Case("retried");
        c.topic = "%RETRY%GroupTest";
        c.reconsumeTimes = 15;
        c.properties = new String[] {"RETRY_TOPIC", "TopicTest", "ORIGIN_MESSAGE_ID", "7F0000010001B4AAC21E0000000000A1",
            "RECONSUME_TIME", "15", "MAX_RECONSUME_TIMES", "16"};
        list.add(c);
        c = new Case("topic-127");
        c.topic = "T".repeat(127);
        list.add(c);
        c = new Case("v2-topic-200");
        c.topic = LONG_TOPIC;
        c.v2 = true;
        list.add(c);
        return list;
    }

    private static void fill(MessageExt m, Case c) throws Exception {
        m.setTopic(c.topic);
        m.setBody(c.body);
        m.setBodyCRC(UtilAll.crc32(c.body));
        m.setQueueId(c.queueId);
        m.setFlag(c.flag);
        m.setQueueOffset(c.queueOffset);
        m.setCommitLogOffset(c.physicalOffset);
        m.setSysFlag(c.sysFlag);
        m.setBornTimestamp(Bodies.TS);
        m.setBornHost(host(c.bornHost, 54321));
        m.setStoreTimestamp(Bodies.TS + 1);
        m.setStoreHost(host(c.storeHost, 10911));
        m.setReconsumeTimes(c.reconsumeTimes);
        m.setPreparedTransactionOffset(c.prepared);
        MessageAccessor.setProperties(m, ordered(c.properties));
    }

    private static InetSocketAddress host(String ip, int port) throws Exception {
        return new InetSocketAddress(InetAddress.getByName(ip), port);
    }

    static Map<String, String> ordered(String... kv) {
        Map<String, String> m = new LinkedHashMap<>();
        for (int i = 0; i < kv.length; i += 2) {
            m.put(kv[i], kv[i + 1]);
        }
        return m;
    }

    private static Map<String, Object> values(byte[] record, Case c, String propertiesString) {
        ByteBuffer buf = ByteBuffer.wrap(record);
        return Golden.map("magic", String.format("0x%08X", buf.getInt(4)), "bodyCRC", Integer.toUnsignedLong(buf.getInt(8)),
            "queueId", c.queueId, "flag", c.flag, "queueOffset", buf.getLong(20), "physicalOffset", buf.getLong(28),
            "sysFlag", c.sysFlag, "bornTimestamp", Bodies.TS, "bornHost", c.bornHost, "bornPort", 54321,
            "storeTimestamp", Bodies.TS + 1, "storeHost", c.storeHost, "storePort", 10911,
            "reconsumeTimes", c.reconsumeTimes, "preparedTransactionOffset", c.prepared, "bodyHex", Golden.hex(c.body),
            "topic", c.topic, "propertiesString", propertiesString, "properties", ordered(c.properties));
    }

    private static void client(Golden g, Case c) throws Exception {
        MessageExt m = new MessageExt();
        fill(m, c);
        byte[] record = MessageDecoder.encode(m, false);
        Map<String, Object> v = values(record, c, MessageDecoder.messageProperties2String(m.getProperties()));
        v.put("offsetMsgId", MessageDecoder.createMessageId(m.getStoreHost(), c.physicalOffset));
        g.add("record-decoder-" + c.name, "record", Golden.EXACT, record, v,
            "by MessageDecoder.encode, which never writes version 2");
    }

    private static Object brokerInner(String name) throws Exception {
        Class<?> type = null;
        for (String pkg : new String[] {"org.apache.rocketmq.common.message.", "org.apache.rocketmq.store."}) {
            try {
                type = Class.forName(pkg + name);
                break;
            } catch (ClassNotFoundException e) {
                // the other version's package
            }
        }
        if (type == null) {
            throw new ClassNotFoundException(name);
        }
        return type.getDeclaredConstructor().newInstance();
    }

    private static void store(Golden g, Case c) throws Exception {
        MessageExt m = (MessageExt) brokerInner("MessageExtBrokerInner");
        fill(m, c);
        String properties = MessageDecoder.messageProperties2String(m.getProperties());
        m.getClass().getMethod("setPropertiesString", String.class).invoke(m, properties);
        if (c.v2) {
            Class<?> version = Class.forName("org.apache.rocketmq.common.message.MessageVersion");
            m.getClass().getMethod("setVersion", version).invoke(m, version.getField("MESSAGE_VERSION_V2").get(null));
        }
        Encoder encoder = new Encoder();
        byte[] record = encoder.encode(m);
        g.add("record-store-" + c.name, "record", Golden.EXACT, record, values(record, c, properties),
            "by the store's MessageExtEncoder; the append fills in the physical offset (4.9: and the queue offset) later");
    }

    /** The store's encoder: a class of its own in 5.x, nested and package-private in 4.9. */
    private static final class Encoder {
        private final Object encoder;

        Encoder() throws Exception {
            MessageStoreConfig config = new MessageStoreConfig();
            Object made;
            try {
                made = Class.forName("org.apache.rocketmq.store.MessageExtEncoder")
                    .getConstructor(MessageStoreConfig.class).newInstance(config);
            } catch (ClassNotFoundException e) {
                Constructor<?> c = Class.forName("org.apache.rocketmq.store.CommitLog$MessageExtEncoder")
                    .getDeclaredConstructor(int.class);
                c.setAccessible(true);
                made = c.newInstance(config.getMaxMessageSize());
            }
            encoder = made;
        }

        byte[] encode(MessageExt m) throws Exception {
            Method encode = encoder.getClass().getDeclaredMethod("encode", m.getClass());
            encode.setAccessible(true);
            Object failure = encode.invoke(encoder, m);
            if (failure != null) {
                throw new IllegalStateException("the store refuses the message: " + failure);
            }
            Method buffer = encoder.getClass().getDeclaredMethod("getEncoderBuffer");
            buffer.setAccessible(true);
            ByteBuffer buf = (ByteBuffer) buffer.invoke(encoder);
            byte[] record = new byte[buf.getInt(0)];
            buf.get(record);
            return record;
        }

        byte[] encodeBatch(MessageExt batch) throws Exception {
            for (Method m : encoder.getClass().getDeclaredMethods()) {
                if (m.getName().equals("encode") && m.getParameterCount() == 2) {
                    m.setAccessible(true);
                    Constructor<?> c = m.getParameterTypes()[1].getDeclaredConstructor(String.class);
                    c.setAccessible(true);
                    ByteBuffer buf = (ByteBuffer) m.invoke(encoder, batch, c.newInstance("TopicTest-3"));
                    byte[] records = new byte[buf.remaining()];
                    buf.get(records);
                    return records;
                }
            }
            throw new NoSuchMethodException("encode of a batch");
        }
    }

    /** What a pull answers: whole records, one after the other. */
    private static void pullBody(Golden g) throws Exception {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        List<Object> list = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            Case c = new Case("pull");
            c.body = Golden.utf8("message " + i);
            c.queueOffset = 100 + i;
            c.physicalOffset = 1000 + 300L * i;
            c.properties = new String[] {"TAGS", "t" + i};
            MessageExt m = new MessageExt();
            fill(m, c);
            byte[] record = MessageDecoder.encode(m, false);
            out.write(record);
            list.add(values(record, c, MessageDecoder.messageProperties2String(m.getProperties())));
        }
        g.add("records-pull-body", "records", Golden.EXACT, out.toByteArray(), Golden.map("records", list));
    }

    private static void compressed(Golden g) throws Exception {
        String[] names = {"zlib-unnamed", "lz4", "zstd", "zlib"};
        int[] types = {0, 1, 2, 3};
        for (int i = 0; i < names.length; i++) {
            Case c = new Case("compressed-" + names[i]);
            c.body = Golden.utf8("compress me ".repeat(500));
            c.sysFlag = MessageSysFlag.COMPRESSED_FLAG | types[i] << 8;
            MessageExt m = new MessageExt();
            fill(m, c);
            byte[] record = MessageDecoder.encode(m, true);
            int length = ByteBuffer.wrap(record).getInt(84);
            byte[] packed = new byte[length];
            System.arraycopy(record, 88, packed, 0, length);
            Map<String, Object> v = values(record, c, MessageDecoder.messageProperties2String(m.getProperties()));
            v.put("bodyHex", Golden.hex(packed));
            v.put("plainBodyHex", Golden.hex(c.body));
            MessageExt back = MessageDecoder.decode(ByteBuffer.wrap(record));
            if (back == null || !java.util.Arrays.equals(back.getBody(), c.body)) {
                throw new IllegalStateException(c.name + ": Apache does not unpack what it packed");
            }
            g.add("record-decoder-" + c.name, "record", Golden.COMPRESSED, record, v,
                "bodyCRC is of the plain body here; a broker computes it from the body as it arrived, packed");
        }
    }

    private static void batches(Golden g) throws Exception {
        List<Message> messages = new ArrayList<>();
        List<Object> values = new ArrayList<>();
        String[][] properties = {{"UNIQ_KEY", "7F0000010001B4AAC21E0000000000A1", "TAGS", "a"}, {"KEYS", "k2"}, {}};
        for (int i = 0; i < 3; i++) {
            Message m = new Message("TopicTest", i == 2 ? new byte[0] : Golden.utf8("batched " + i + " 你好"));
            m.setFlag(i);
            MessageAccessor.setProperties(m, ordered(properties[i]));
            messages.add(m);
            values.add(Golden.map("flag", i, "bodyHex", Golden.hex(m.getBody()), "properties", ordered(properties[i]),
                "propertiesString", MessageDecoder.messageProperties2String(m.getProperties())));
        }
        byte[] body = MessageDecoder.encodeMessages(messages);
        g.add("batch-three", "batch", Golden.EXACT, body, Golden.map("messages", values),
            "the body of code 320; the last message is empty and has no properties");
        MessageExt batch = (MessageExt) Class.forName("org.apache.rocketmq.common.message.MessageExtBatch")
            .getDeclaredConstructor().newInstance();
        Case c = new Case("batch");
        c.properties = new String[] {"CLUSTER", "DefaultCluster"};
        fill(batch, c);
        batch.setBody(body);
        batch.setFlag(0);
        g.add("records-store-batch", "records", Golden.EXACT, new Encoder().encodeBatch(batch),
            Golden.map("batch", "batch-three", "queueId", c.queueId, "bornTimestamp", Bodies.TS, "bornHost", c.bornHost,
                "bornPort", 54321, "storeTimestamp", Bodies.TS + 1, "storeHost", c.storeHost, "storePort", 10911,
                "sysFlag", 0, "topic", c.topic, "batchProperties", ordered(c.properties)),
            "how the store unpacks a batch: 4.9 adds the properties of the request's header to each message, 5.x drops them");
    }

    private static void offsetIds(Golden g) throws Exception {
        Object[][] ids = {{"127.0.0.1", 10911, 0L}, {"192.168.255.1", 65535, 9223372036854775807L},
            {"2001:db8::a:1", 10911, 369L}};
        List<Object> rows = new ArrayList<>();
        for (Object[] id : ids) {
            String text = MessageDecoder.createMessageId(host((String) id[0], (Integer) id[1]), (Long) id[2]);
            rows.add(Golden.map("ip", id[0], "port", id[1], "offset", id[2], "id", text));
        }
        g.table("table-offset-ids", rows, "MessageDecoder.createMessageId");
    }
}
