package filter;

import java.io.BufferedReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Base64;
import org.apache.rocketmq.broker.filter.MessageEvaluationContext;
import org.apache.rocketmq.common.filter.ExpressionType;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.filter.FilterFactory;
import org.apache.rocketmq.filter.expression.Expression;

/**
 * Says what Apache RocketMQ's SQL92 filter makes of expressions and of messages' properties.
 *
 * <p>usage: filter.Filter INPUT_FILE
 *
 * <p>A line "E base64" of the input is an expression, a line "P base64" the encoded properties to match with the last
 * one. For each expression there is one line of output with a letter for each of its properties: T true, F false, N
 * null, E an exception. The line of an expression that does not compile is X.
 */
public final class Filter {
    private Filter() {
    }

    public static void main(String[] args) throws Exception {
        if (args.length != 1) {
            System.err.println("usage: filter.Filter INPUT_FILE");
            System.exit(2);
        }
        StringBuilder out = new StringBuilder();
        try (BufferedReader in = Files.newBufferedReader(Paths.get(args[0]))) {
            Expression expression = null;
            boolean first = true;
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                String text = new String(Base64.getDecoder().decode(line.substring(2)), StandardCharsets.UTF_8);
                if (line.charAt(0) == 'E') {
                    out.append(first ? "" : "\n");
                    first = false;
                    expression = compile(text);
                    out.append(expression == null ? "X" : "");
                } else if (expression != null) {
                    out.append(evaluate(expression, text));
                }
            }
        }
        PrintStream stdout = new PrintStream(System.out, false, "US-ASCII");
        stdout.println(out);
        stdout.flush();
        System.exit(0); // Apache's classes leave threads behind
    }

    /** Answers null for what does not compile. */
    private static Expression compile(String text) {
        try {
            return FilterFactory.INSTANCE.get(ExpressionType.SQL92).compile(text);
        } catch (Throwable e) { // as the broker does: the parser throws errors too
            return null;
        }
    }

    private static char evaluate(Expression expression, String properties) {
        Object result;
        try {
            result = expression.evaluate(
                new MessageEvaluationContext(MessageDecoder.string2messageProperties(properties)));
        } catch (Throwable e) { // as the broker does
            return 'E';
        }
        if (result == null) {
            return 'N';
        }
        return Boolean.TRUE.equals(result) ? 'T' : 'F';
    }
}
