package golden;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.io.BufferedWriter;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.acl.common.AclClientRPCHook;
import org.apache.rocketmq.acl.common.SessionCredentials;
import org.apache.rocketmq.common.MQVersion;
import org.apache.rocketmq.remoting.CommandCustomHeader;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.SerializeType;

/**
 * Requests signed by Apache's own client hook, and the decisions of Apache 4.9's plain ACL.
 *
 * <p>usage: golden.Acl sign OUTPUT_FILE writes signed frames of both header codecs as JSON.
 *
 * <p>usage: golden.Acl decide INPUT_FILE OUTPUT_FILE (4.9 only) answers each line of the input with a line:
 * <pre>
 * R ROCKETMQ_HOME         loads conf/plain_acl.yml there      loaded | bad MESSAGE
 * C REMOTE FRAME_HEX      a request under the last R          ok | no MESSAGE
 * P PATTERN_HEX A,B,...   a white-list pattern on addresses   bad MESSAGE | one of 0, 1, x (an exception) for each
 * </pre>
 */
public final class Acl {
    static final String ACCESS_KEY = "RocketMQ";
    static final String SECRET_KEY = "12345678中文";
    static final String TOKEN = "token-7";

    private final List<Object> signed = new ArrayList<>();

    private Acl() {
    }

    public static void main(String[] args) throws Exception {
        if (args.length == 2 && args[0].equals("sign")) {
            Acl acl = new Acl();
            acl.sign();
            Files.write(Paths.get(args[1]), Json.write(acl.signed).getBytes(StandardCharsets.UTF_8));
        } else if (args.length == 3 && args[0].equals("decide")) {
            decide(Paths.get(args[1]), Paths.get(args[2]));
        } else {
            System.err.println("usage: golden.Acl sign OUTPUT_FILE | decide INPUT_FILE OUTPUT_FILE");
            System.exit(2);
        }
        System.exit(0); // Apache's file watchers are still there
    }

    private void sign() throws Exception {
        for (SerializeType codec : SerializeType.values()) {
            for (String token : new String[] {null, TOKEN}) {
                String suffix = "-" + codec.name().toLowerCase() + (token == null ? "" : "-token");
                add("bare" + suffix, codec, token, request(28, null, null, null));
                add("send" + suffix, codec, token, request(10, Bean.of("header.SendMessageRequestHeader")
                    .set("producerGroup", "pay_group").set("topic", "TopicTest").set("defaultTopic", "TBW102")
                    .set("defaultTopicQueueNums", 4).set("queueId", 1).set("sysFlag", 0)
                    .set("bornTimestamp", 1700000000000L).set("flag", 0).set("properties", "")
                    .set("reconsumeTimes", 0), null, Golden.utf8("body")));
                add("send-v2" + suffix, codec, token, request(310, Bean.of("header.SendMessageRequestHeaderV2")
                    .set("a", "pay_group").set("b", "TopicTest").set("c", "TBW102").set("d", 4).set("e", 1)
                    .set("f", 0).set("g", 1700000000000L).set("h", 0).set("i", "KEYS\u0001中文\u0002TAGS\u0001a\u0002")
                    .set("j", 0).set("k", false).set("m", false), null, new byte[] {0, 1, -1, 127, -128}));
                add("pull" + suffix, codec, token, request(11, Bean.of("header.PullMessageRequestHeader")
                    .set("consumerGroup", "pay_consumer_group").set("topic", "TopicTest").set("queueId", 0)
                    .set("queueOffset", 7L).set("maxMsgNums", 32).set("sysFlag", 2).set("commitOffset", 0L)
                    .set("suspendTimeoutMillis", 15000L).set("subscription", "*").set("subVersion", 0L)
                    .set("expressionType", "TAG"), null, null));
                add("query" + suffix, codec, token, request(12, Bean.of("header.QueryMessageRequestHeader")
                    .set("topic", "TopicTest").set("key", "7F000001").set("maxNum", 32).set("beginTimestamp", 0L)
                    .set("endTimestamp", Long.MAX_VALUE), Golden.map("_UNIQUE_KEY_QUERY", "true"), null));
                add("offset" + suffix, codec, token, request(15, Bean.of("header.UpdateConsumerOffsetRequestHeader")
                    .set("consumerGroup", "pay_consumer_group").set("topic", "TopicTest").set("queueId", 0)
                    .set("commitOffset", 9L), null, null));
                add("heartbeat" + suffix, codec, token, request(34, null, null,
                    Golden.utf8("{\"clientID\":\"c\",\"consumerDataSet\":[],\"producerDataSet\":[{\"groupName\":\"g\"}]}")));
                add("names" + suffix, codec, token, request(28, null, Golden.map("\uFB01", "1", "\uD83D\uDE00", "2",
                    "a", "", "Z", "3", "Signatures", "4"), null));
            }
        }
    }

    private static RemotingCommand request(int code, Bean header, Map<String, Object> ext, byte[] body) {
        RemotingCommand cmd =
            RemotingCommand.createRequestCommand(code, header == null ? null : (CommandCustomHeader) header.target());
        cmd.setOpaque(7);
        cmd.setVersion(MQVersion.CURRENT_VERSION);
        cmd.setBody(body);
        if (ext != null) {
            cmd.setExtFields(new HashMap<>());
            ext.forEach((k, v) -> cmd.addExtField(k, (String) v));
        }
        return cmd;
    }

    private void add(String name, SerializeType codec, String token, RemotingCommand cmd) {
        cmd.setSerializeTypeCurrentRPC(codec);
        SessionCredentials credentials = token == null ? new SessionCredentials(ACCESS_KEY, SECRET_KEY)
            : new SessionCredentials(ACCESS_KEY, SECRET_KEY, token);
        new AclClientRPCHook(credentials).doBeforeRequest("127.0.0.1:10911", cmd);
        ByteBuf out = Unpooled.buffer();
        cmd.fastEncodeHeader(out);
        if (cmd.getBody() != null) {
            out.writeBytes(cmd.getBody());
        }
        byte[] bytes = new byte[out.readableBytes()];
        out.readBytes(bytes);
        signed.add(Golden.map("name", name, "accessKey", ACCESS_KEY, "secretKey", SECRET_KEY, "frameHex",
            Golden.hex(bytes)));
    }

    private static void decide(Path in, Path out) throws Exception {
        Object validator = null;
        try (BufferedWriter w = Files.newBufferedWriter(out)) {
            for (String line : Files.readAllLines(in)) {
                String[] part = line.split(" ", -1);
                String answer;
                if (part[0].equals("R")) {
                    System.setProperty("rocketmq.home.dir", part[1]);
                    validator = null;
                    try {
                        validator = Class.forName("org.apache.rocketmq.acl.plain.PlainAccessValidator")
                            .getDeclaredConstructor().newInstance();
                        answer = "loaded";
                    } catch (InvocationTargetException e) {
                        answer = "bad " + e.getCause();
                    }
                } else if (part[0].equals("C")) {
                    answer = check(validator, part[1], bytes(part[2]));
                } else {
                    answer = match(new String(bytes(part[1]), StandardCharsets.UTF_8), part[2].split(","));
                }
                w.write(answer.replace('\n', ' ').replace('\r', ' '));
                w.write('\n');
            }
        }
    }

    private static String check(Object validator, String remote, byte[] frame) throws Exception {
        ByteBuffer buf = ByteBuffer.wrap(frame);
        buf.getInt();
        RemotingCommand cmd = RemotingCommand.decode(buf.slice());
        Class<?> resource = Class.forName("org.apache.rocketmq.acl.AccessResource");
        Class<?> type = Class.forName("org.apache.rocketmq.acl.AccessValidator");
        try {
            Object parsed = type.getMethod("parse", RemotingCommand.class, String.class).invoke(validator, cmd, remote);
            type.getMethod("validate", resource).invoke(validator, parsed);
        } catch (InvocationTargetException e) {
            return "no " + e.getCause().getMessage();
        }
        return "ok";
    }

    private static String match(String pattern, String[] addresses) throws Exception {
        String plain = "org.apache.rocketmq.acl.plain.";
        Class<?> resource = Class.forName(plain + "PlainAccessResource");
        Method match = Class.forName(plain + "RemoteAddressStrategy").getMethod("match", resource);
        Object factory = Class.forName(plain + "RemoteAddressStrategyFactory").getDeclaredConstructor().newInstance();
        Object strategy;
        try {
            strategy = factory.getClass().getMethod("getRemoteAddressStrategy", String.class).invoke(factory, pattern);
        } catch (InvocationTargetException e) {
            return "bad " + e.getCause();
        }
        StringBuilder answer = new StringBuilder();
        for (String address : addresses) {
            Object r = resource.getDeclaredConstructor().newInstance();
            resource.getMethod("setWhiteRemoteAddress", String.class).invoke(r, address);
            try {
                answer.append((Boolean) match.invoke(strategy, r) ? '1' : '0');
            } catch (InvocationTargetException e) {
                answer.append('x');
            }
        }
        return answer.toString();
    }

    private static byte[] bytes(String hex) {
        byte[] out = new byte[hex.length() / 2];
        for (int i = 0; i < out.length; i++) {
            out[i] = (byte) Integer.parseInt(hex.substring(2 * i, 2 * i + 2), 16);
        }
        return out;
    }
}
