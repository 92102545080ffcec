package golden;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.remoting.protocol.LanguageCode;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.SerializeType;

/** Whole frames in both header codecs, and the shapes of remark, ext and body that are easy to get wrong. */
final class Frames {
    /** V5_0_0; one fixed ordinal, so that both Apache versions can make the same bytes. */
    static final int VERSION = 413;

    private Frames() {
    }

    static void write(Golden g) throws Exception {
        for (SerializeType codec : SerializeType.values()) {
            String c = codec.name().toLowerCase();
            add(g, "frame-" + c + "-request-bare", request(34, 7, null), codec, null);
            add(g, "frame-" + c + "-request-empty-ext", request(34, 8, new HashMap<>()), codec, null);
            RemotingCommand body = request(10, 9, ext("topic", "TopicTest", "queueId", "3"));
            body.setBody(allBytes());
            add(g, "frame-" + c + "-request-body", body, codec, null);
            RemotingCommand emptyBody = request(10, 10, ext("topic", "TopicTest"));
            emptyBody.setBody(new byte[0]);
            add(g, "frame-" + c + "-request-empty-body", emptyBody, codec, null);
            RemotingCommand oneway = request(15, 11, ext("consumerGroup", "GroupTest"));
            oneway.markOnewayRPC();
            add(g, "frame-" + c + "-request-oneway", oneway, codec, null);
            RemotingCommand onewayResponse = response(0, 12, null, null);
            onewayResponse.markOnewayRPC();
            add(g, "frame-" + c + "-response-oneway", onewayResponse, codec, null);
            add(g, "frame-" + c + "-response-bare", response(0, 13, null, null), codec, null);
            add(g, "frame-" + c + "-response-remark", response(1, 14, awkward(), null), codec, null);
            add(g, "frame-" + c + "-response-empty-remark", response(1, 15, "", null), codec,
                "the binary codec cannot tell an empty remark from none");
            add(g, "frame-" + c + "-response-ext", response(0, 16, null,
                ext("msgId", "7F0000010000000000000000000000A1", "empty", "", "中文", awkward(), "TRACE_ON", "true")),
                codec, "the binary decoder of Java reads an empty value as null");
            HashMap<String, String> nulls = ext("present", "1");
            nulls.put("absent", null);
            add(g, "frame-" + c + "-request-null-value", request(105, 17, nulls), codec,
                "Java leaves out ext entries whose value is null");
            add(g, "frame-" + c + "-opaque-negative", request(105, -2, null), codec, null);
            RemotingCommand go = request(34, 18, null);
            go.setLanguage(LanguageCode.GO);
            go.setVersion(317);
            add(g, "frame-" + c + "-language-go", go, codec, null);
            add(g, "frame-" + c + "-code-pop", request(200050, 19, null), codec,
                codec == SerializeType.JSON ? null : "the binary codec keeps 16 bits of the code: 200050 arrives as 3442");
        }
    }

    static RemotingCommand request(int code, int opaque, HashMap<String, String> ext) {
        RemotingCommand cmd = RemotingCommand.createRequestCommand(code, null);
        cmd.setOpaque(opaque);
        cmd.setVersion(VERSION);
        cmd.setExtFields(ext);
        return cmd;
    }

    static RemotingCommand response(int code, int opaque, String remark, HashMap<String, String> ext) {
        RemotingCommand cmd = RemotingCommand.createResponseCommand(code, remark);
        cmd.setOpaque(opaque);
        cmd.setVersion(VERSION);
        cmd.setExtFields(ext);
        return cmd;
    }

    static void add(Golden g, String name, RemotingCommand cmd, SerializeType codec, String note) throws Exception {
        add(g, name, cmd, codec, note, null, null);
    }

    static void add(Golden g, String name, RemotingCommand cmd, SerializeType codec, String note, String header,
        Map<String, Object> fields) throws Exception {
        cmd.setSerializeTypeCurrentRPC(codec);
        byte[] bytes = encode(cmd);
        boolean binary = codec == SerializeType.ROCKETMQ;
        Map<String, Object> v = Golden.map("codec", codec.name(), "code", cmd.getCode(),
            "language", cmd.getLanguage().name(), "version", cmd.getVersion(), "opaque", cmd.getOpaque(),
            "flag", cmd.getFlag(), "remark", cmd.getRemark(), "ext", binary ? binaryExt(bytes) : jsonExt(cmd));
        if (header != null) {
            v.put("header", header);
            v.put("fields", fields);
        }
        if (cmd.getBody() != null) {
            v.put("bodyHex", Golden.hex(cmd.getBody()));
        }
        g.add(name, "frame", binary ? Golden.EXACT : Golden.LOGICAL, bytes, v, note);
        verify(name, bytes, cmd);
    }

    /** The path of Apache's NettyEncoder: what really goes over the wire. */
    private static byte[] encode(RemotingCommand cmd) {
        ByteBuf out = Unpooled.buffer();
        cmd.fastEncodeHeader(out);
        if (cmd.getBody() != null) {
            out.writeBytes(cmd.getBody());
        }
        byte[] bytes = new byte[out.readableBytes()];
        out.readBytes(bytes);
        out.release();
        return bytes;
    }

    private static void verify(String name, byte[] bytes, RemotingCommand cmd) throws Exception {
        ByteBuffer buf = ByteBuffer.wrap(bytes);
        if (buf.getInt() != bytes.length - 4) {
            throw new IllegalStateException(name + ": length field is off");
        }
        RemotingCommand back = RemotingCommand.decode(buf.slice());
        if (back.getOpaque() != cmd.getOpaque() || back.getFlag() != cmd.getFlag()) {
            throw new IllegalStateException(name + ": Apache does not read back what it wrote");
        }
    }

    /** Key and value pairs in the order in which they are written; null when the map is absent. */
    private static List<Object> jsonExt(RemotingCommand cmd) {
        if (cmd.getExtFields() == null) {
            return null;
        }
        List<Object> pairs = new ArrayList<>();
        for (Map.Entry<String, String> e : cmd.getExtFields().entrySet()) {
            if (e.getValue() != null) {
                pairs.add(List.of(e.getKey(), e.getValue()));
            }
        }
        return pairs;
    }

    private static List<Object> binaryExt(byte[] frame) {
        ByteBuffer buf = ByteBuffer.wrap(frame);
        buf.position(8 + 2 + 1 + 2 + 4 + 4);
        buf.position(buf.position() + 4 + buf.getInt(buf.position()));
        int end = buf.getInt() + buf.position();
        List<Object> pairs = new ArrayList<>();
        while (buf.position() < end) {
            byte[] k = new byte[buf.getShort()];
            buf.get(k);
            byte[] v = new byte[buf.getInt()];
            buf.get(v);
            pairs.add(List.of(new String(k, StandardCharsets.UTF_8), new String(v, StandardCharsets.UTF_8)));
        }
        return pairs.isEmpty() ? null : pairs;
    }

    static String awkward() {
        return "他说 \"no\" \\ back/slash\ttab\nline\r\b\f\u0001\u007f\u2028 <a>&'é 😀 end";
    }

    private static HashMap<String, String> ext(String... kv) {
        HashMap<String, String> m = new HashMap<>();
        for (int i = 0; i < kv.length; i += 2) {
            m.put(kv[i], kv[i + 1]);
        }
        return m;
    }

    private static byte[] allBytes() {
        byte[] b = new byte[256];
        for (int i = 0; i < b.length; i++) {
            b[i] = (byte) i;
        }
        return b;
    }
}
