package golden;

import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.rocketmq.common.message.MessageDecoder;

/** The string of a message's properties: what is written, and what odd strings are read as. */
final class Properties {
    private static final String[][] WRITTEN = {
        {}, {"TAGS", "a"}, {"TAGS", "a", "KEYS", "k1 k2", "WAIT", "true"}, {"中文", "值 😀"}, {"empty", ""},
        {"first", "", "TAGS", "a"}, {"a", "1", "b", "", "c", "3"},
    };

    private static final String[] READ = {
        "", "a\u0001b", "a\u0001b\u0002", "a\u0001b\u0002c\u0001d", "a\u0001b\u0002c\u0001d\u0002", "a\u0001\u0002b\u0001c",
        "\u0001v\u0002b\u0001c", "a\u0001\u0002", "novalue", "novalue\u0002b\u0001c", "x\u0002b\u0001c",
        "\u0002\u0002\u0002a\u0001b\u0002\u0002", "a\u0001b\u0001c\u0002", "a\u0001\u0001\u0002", "a\u0001b\u0002a\u0001c\u0002",
        " a \u0001 b \u0002", "中文\u0001值😀\u0002", "abc\u0002d\u0001e\u0002", "abcd\u0002e", "ab\u0001", "a=b;c=d\u0002",
    };

    private Properties() {
    }

    static void write(Golden g) throws Exception {
        int n = 0;
        for (String[] kv : WRITTEN) {
            Map<String, String> in = Records.ordered(kv);
            String out = MessageDecoder.messageProperties2String(in);
            List<Object> pairs = new ArrayList<>();
            in.forEach((k, v) -> pairs.add(List.of(k, v)));
            g.add("props-write-" + n++, "props-write", Golden.EXACT, Golden.utf8(out),
                Golden.map("pairs", pairs, "string", out), "4.9 leaves out the last separator, 5.x writes it");
        }
        List<Object> rows = new ArrayList<>();
        for (String s : READ) {
            rows.add(Golden.map("string", s, "properties", new TreeMap<>(MessageDecoder.string2messageProperties(s))));
        }
        g.table("table-props-read", rows, "MessageDecoder.string2messageProperties");
        if (g.is5()) {
            delete(g);
        }
    }

    private static void delete(Golden g) throws Exception {
        Method delete = Class.forName("org.apache.rocketmq.common.utils.MessageUtils")
            .getMethod("deleteProperty", String.class, String.class);
        String[][] in = {{"a\u00011\u0002b\u00012\u0002", "a"}, {"a\u00011\u0002b\u00012\u0002", "b"}, {"a\u00011\u0002b\u00012", "b"},
            {"aa\u00011\u0002a\u00012\u0002", "a"}, {"a\u00011\u0002", "a"}, {"a\u00011\u0002a\u00012\u0002", "a"}, {"b\u00012\u0002", "a"},
            {"", "a"}};
        List<Object> rows = new ArrayList<>();
        for (String[] s : in) {
            Map<String, Object> row = new LinkedHashMap<>();
            row.put("string", s[0]);
            row.put("name", s[1]);
            row.put("result", delete.invoke(null, s[0], s[1]));
            rows.add(row);
        }
        g.table("table-props-delete", rows, "MessageUtils.deleteProperty");
    }
}
