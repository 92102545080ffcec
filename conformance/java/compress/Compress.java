package compress;

import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Base64;
import java.util.List;
import org.apache.rocketmq.common.compression.CompressionType;
import org.apache.rocketmq.common.compression.Compressor;
import org.apache.rocketmq.common.compression.CompressorFactory;

/**
 * Packs and unpacks bodies with the compressors of Apache's 5.x clients.
 *
 * <p>usage: compress.Compress INPUT_FILE
 *
 * <p>A line "P ZLIB base64" is packed, "U ZLIB base64" unpacked; ZLIB, LZ4 or ZSTD. There is one line of base64 for each.
 */
public final class Compress {
    private Compress() {
    }

    public static void main(String[] args) throws Exception {
        StringBuilder out = new StringBuilder();
        List<String> lines = Files.readAllLines(Paths.get(args[0]));
        for (String line : lines) {
            String[] parts = line.split(" ");
            Compressor compressor = CompressorFactory.getCompressor(CompressionType.of(parts[1]));
            byte[] body = Base64.getDecoder().decode(parts[2]);
            byte[] result = parts[0].equals("P") ? compressor.compress(body, 5) : compressor.decompress(body);
            out.append(Base64.getEncoder().encodeToString(result)).append('\n');
        }
        PrintStream stdout = new PrintStream(System.out, false, StandardCharsets.US_ASCII.name());
        stdout.print(out);
        stdout.flush();
        System.exit(0);
    }
}
