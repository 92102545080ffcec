package peer;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.rocketmq.common.MQVersion;

/**
 * A client program on Apache's own Java client. It runs named cases against a name server and prints a line for each:
 * {@code PASS case}, {@code FAIL case: why} or {@code SKIP case: why}; it exits with 1 when a case failed. The one source
 * compiles against the clients of 4.9 and 5.x.
 *
 * <p>With {@code -Drocketmq.serialize.type=ROCKETMQ} every case speaks binary headers.
 */
public final class Peer {
    private Peer() {
    }

    /** A case; what it throws is the reason of its failure. */
    interface Case {
        void run(Env env) throws Exception;
    }

    /** Thrown by a case that this client or server cannot run. */
    static final class Skip extends Exception {
        Skip(String why) {
            super(why);
        }
    }

    /** Thrown by a case whose expectation does not hold. */
    static final class Mismatch extends Exception {
        Mismatch(String why) {
            super(why);
        }
    }

    private static Map<String, Case> cases() {
        Map<String, Case> m = new LinkedHashMap<>();
        // the ones that wait longest come first
        TransactionCases.add(m);
        QueryCases.add(m);
        RetryCases.add(m);
        PopCases.add(m);
        ConsumeCases.add(m);
        GroupCases.add(m);
        OrderCases.add(m);
        FilterCases.add(m);
        BroadcastCases.add(m);
        ReplyCases.add(m);
        PullCases.add(m);
        SendCases.add(m);
        AdminCases.add(m);
        return m;
    }

    public static void main(String[] args) throws Exception {
        // these are read once, when the client's classes load
        System.setProperty("rocketmq.client.rebalance.waitInterval", "1000");
        System.setProperty("rocketmq.client.rebalance.minInterval", "200");
        if (MQVersion.CURRENT_VERSION < MQVersion.Version.V5_0_0.ordinal()) { // for 5.x it is something else
            System.setProperty("rocketmq.client.unlockDelayTimeMills", "1000");
        }
        Options options = Options.parse(args);
        Map<String, Case> all = cases();
        if (options.list) {
            all.keySet().forEach(System.out::println);
            return;
        }
        List<String> names = new ArrayList<>(options.cases.isEmpty() ? all.keySet() : options.cases);
        Partnered.add(all);
        for (String name : names) {
            if (!all.containsKey(name)) {
                System.err.println("no case " + name + "; there are " + all.keySet());
                System.exit(2);
            }
        }
        Path offsets = Files.createTempDirectory("peer-offsets");
        System.setProperty("rocketmq.client.localOffsetStoreDir", offsets.toString()); // of broadcasting
        int code = run(options, names, all);
        delete(offsets);
        System.exit(code);
    }

    private static void delete(Path dir) throws IOException {
        try (Stream<Path> all = Files.walk(dir)) {
            for (Path p : all.sorted(Comparator.reverseOrder()).collect(Collectors.toList())) {
                Files.deleteIfExists(p);
            }
        }
    }

    private static int run(Options options, List<String> names, Map<String, Case> all) throws InterruptedException {
        ExecutorService pool = Executors.newFixedThreadPool(options.parallel);
        Map<String, Future<String>> running = new LinkedHashMap<>();
        long began = System.nanoTime();
        for (String name : names) {
            running.put(name, pool.submit(one(options, name, all.get(name))));
        }
        int failed = 0;
        long deadline = began + TimeUnit.SECONDS.toNanos(options.totalSeconds);
        for (Map.Entry<String, Future<String>> e : running.entrySet()) {
            String line;
            try {
                line = e.getValue().get(Math.max(0, deadline - System.nanoTime()), TimeUnit.NANOSECONDS);
            } catch (TimeoutException late) {
                line = "FAIL " + e.getKey() + ": not done " + options.totalSeconds + " s after the start of the run";
            } catch (ExecutionException broken) {
                line = "FAIL " + e.getKey() + ": " + broken.getCause();
            }
            if (line.startsWith("FAIL")) {
                failed++;
            }
            System.out.println(line);
            System.out.flush();
        }
        System.err.printf("%d cases, %d failed, %d ms%n", names.size(), failed,
            TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - began));
        return failed == 0 ? 0 : 1;
    }

    private static String reasons(Throwable t) {
        StringBuilder text = new StringBuilder(t.toString());
        for (Throwable c = t.getCause(); c != null; c = c.getCause()) {
            text.append("; caused by ").append(c);
        }
        return text.toString().replace('\n', ' ');
    }

    private static Callable<String> one(Options options, String name, Case c) {
        return () -> {
            long began = System.nanoTime();
            Env env = new Env(options, name);
            String line;
            try {
                c.run(env);
                line = "PASS " + name;
            } catch (Skip skip) {
                line = "SKIP " + name + ": " + skip.getMessage();
            } catch (Mismatch wrong) {
                line = "FAIL " + name + ": " + wrong.getMessage();
            } catch (Throwable t) {
                t.printStackTrace();
                line = "FAIL " + name + ": " + reasons(t);
            } finally {
                env.close();
            }
            System.err.printf("%s took %d ms%n", name, TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - began));
            return line;
        };
    }
}
