package golden;

import java.util.Map;

/** Writes plain JSON with two-space indents; it belongs to the manifest, so that no Apache library shapes it. */
final class Json {
    private final StringBuilder out = new StringBuilder();

    static String write(Object value) {
        Json json = new Json();
        json.value(value, "");
        return json.out.append('\n').toString();
    }

    private void value(Object value, String indent) {
        if (value instanceof Map) {
            Map<?, ?> map = (Map<?, ?>) value;
            if (map.isEmpty()) {
                out.append("{}");
                return;
            }
            String inner = indent + "  ";
            String sep = "{\n";
            for (Map.Entry<?, ?> e : map.entrySet()) {
                out.append(sep).append(inner);
                string(String.valueOf(e.getKey()));
                out.append(": ");
                value(e.getValue(), inner);
                sep = ",\n";
            }
            out.append('\n').append(indent).append('}');
        } else if (value instanceof Iterable) {
            list((Iterable<?>) value, indent);
        } else if (value instanceof Number || value instanceof Boolean || value == null) {
            out.append(value);
        } else {
            string(value.toString());
        }
    }

    private void list(Iterable<?> list, String indent) {
        boolean scalars = true;
        for (Object o : list) {
            scalars &= !(o instanceof Map) && !(o instanceof Iterable);
        }
        if (scalars) {
            String sep = "";
            out.append('[');
            for (Object o : list) {
                out.append(sep);
                value(o, indent);
                sep = ", ";
            }
            out.append(']');
            return;
        }
        String inner = indent + "  ";
        String sep = "[\n";
        for (Object o : list) {
            out.append(sep).append(inner);
            value(o, inner);
            sep = ",\n";
        }
        out.append('\n').append(indent).append(']');
    }

    private void string(String s) {
        out.append('"');
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            switch (c) {
                case '"': out.append("\\\""); break;
                case '\\': out.append("\\\\"); break;
                case '\n': out.append("\\n"); break;
                case '\t': out.append("\\t"); break;
                case '\r': out.append("\\r"); break;
                default:
                    if (c < 0x20 || c == 0x7f || c == 0x2028 || c == 0x2029 || c == 0xfffe || c == 0xffff) {
                        out.append(String.format("\\u%04x", (int) c));
                    } else {
                        out.append(c);
                    }
            }
        }
        out.append('"');
    }
}
