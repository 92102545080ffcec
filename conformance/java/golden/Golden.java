package golden;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Writes golden bytes made by Apache RocketMQ's own classes, one file a case, and manifest.json that says what went
 * in. The same source runs on the 4.9 and the 5.x jars: classes that moved between them are found by {@link Bean}.
 *
 * <p>usage: golden.Golden OUTPUT_DIR VERSION
 */
public final class Golden {
    /** The encoder writes the same bytes from the same values, in any language. */
    static final String EXACT = "exact";
    /** The order of keys comes from a Java hash table: compare what was decoded. */
    static final String LOGICAL = "logical";
    /** Holds compressed bytes, which change with the compressor's version: decode and compare. */
    static final String COMPRESSED = "compressed";

    private final Path dir;
    private final String version;
    private final List<Object> cases = new ArrayList<>();
    private final Set<String> names = new HashSet<>();

    private Golden(Path dir, String version) {
        this.dir = dir;
        this.version = version;
    }

    public static void main(String[] args) throws Exception {
        if (args.length != 2) {
            System.err.println("usage: golden.Golden OUTPUT_DIR VERSION");
            System.exit(2);
        }
        Golden golden = new Golden(Paths.get(args[0]), args[1]);
        Files.createDirectories(golden.dir);
        Frames.write(golden);
        Headers.write(golden);
        Bodies.write(golden);
        Routes.write(golden);
        Records.write(golden);
        Properties.write(golden);
        Traces.write(golden);
        Tables.write(golden);
        Files.write(golden.dir.resolve("manifest.json"),
            Json.write(golden.cases).getBytes(StandardCharsets.UTF_8));
        System.out.println(golden.cases.size() + " cases from Apache RocketMQ " + golden.version);
        System.exit(0); // Apache's classes leave threads behind
    }

    boolean is5() {
        return version.startsWith("5.");
    }

    String version() {
        return version;
    }

    /** Adds one case: its bytes go to a file of its own. */
    void add(String name, String kind, String bytes, byte[] content, Map<String, Object> values) throws IOException {
        add(name, kind, bytes, content, values, null);
    }

    void add(String name, String kind, String bytes, byte[] content, Map<String, Object> values, String note)
        throws IOException {
        if (!names.add(name)) {
            throw new IllegalStateException("two cases are named " + name);
        }
        if (content == null) {
            throw new IllegalStateException("Apache's encoder returned nothing for " + name);
        }
        String file = name + (kind.equals("body") || kind.equals("table") ? ".json" : ".bin");
        if (bytes.equals(COMPRESSED)) {
            file = name + ".bin";
        }
        Files.write(dir.resolve(file), content);
        Map<String, Object> entry = new LinkedHashMap<>();
        entry.put("name", name);
        entry.put("file", file);
        entry.put("version", version);
        entry.put("kind", kind);
        entry.put("bytes", bytes);
        if (note != null) {
            entry.put("note", note);
        }
        entry.put("values", values);
        cases.add(entry);
    }

    /** Adds a table: the file itself is JSON and says everything. */
    void table(String name, List<?> rows, String note) throws IOException {
        add(name, "table", EXACT, Json.write(rows).getBytes(StandardCharsets.UTF_8), map("rows", rows.size()), note);
    }

    static Map<String, Object> map(Object... keysAndValues) {
        Map<String, Object> m = new LinkedHashMap<>();
        for (int i = 0; i < keysAndValues.length; i += 2) {
            m.put((String) keysAndValues[i], keysAndValues[i + 1]);
        }
        return m;
    }

    static String hex(byte[] bytes) {
        StringBuilder sb = new StringBuilder(bytes.length * 2);
        for (byte b : bytes) {
            sb.append(Character.forDigit(b >> 4 & 15, 16)).append(Character.forDigit(b & 15, 16));
        }
        return sb.toString();
    }

    static byte[] utf8(String s) {
        return s.getBytes(StandardCharsets.UTF_8);
    }
}
