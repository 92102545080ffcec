package peer;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.rocketmq.common.MQVersion;

/** The command line: {@code --name-server host:port [--prefix p] [--cases a,b] …}. */
final class Options {
    String nameServer;
    /** Begins the names of all topics and groups, so that runs on one server do not meet. */
    String prefix = "peer" + Long.toString(System.currentTimeMillis(), 36) + "_" + ProcessHandle.current().pid();
    List<String> cases = new ArrayList<>();
    boolean list;
    /** How long a case waits for something that must happen. */
    long timeoutMillis = 40_000;
    /** How long the check-back of a half message may take; 0 leaves the case out. */
    long transactionMillis;
    /** The version that the server is or behaves like; cases of later versions are left out. */
    String server = "5.4.0";
    /** The account that signs requests; empty for servers without ACL. */
    String accessKey = "";
    String secretKey = "";
    /** Cases at once; they wait most of their time. */
    int parallel = 12;
    long totalSeconds = 180;

    static Options parse(String[] args) {
        Options o = new Options();
        for (int i = 0; i < args.length; i++) {
            switch (args[i]) {
                case "--list": o.list = true; break;
                case "--name-server": o.nameServer = args[++i]; break;
                case "--server": o.server = args[++i]; break;
                case "--access-key": o.accessKey = args[++i]; break;
                case "--secret-key": o.secretKey = args[++i]; break;
                case "--prefix": o.prefix = args[++i]; break;
                case "--cases": o.cases.addAll(Arrays.asList(args[++i].split(","))); break;
                case "--timeout-ms": o.timeoutMillis = Long.parseLong(args[++i]); break;
                case "--transaction-ms": o.transactionMillis = Long.parseLong(args[++i]); break;
                case "--parallel": o.parallel = Integer.parseInt(args[++i]); break;
                case "--total-seconds": o.totalSeconds = Long.parseLong(args[++i]); break;
                default: throw new IllegalArgumentException("no option " + args[i]);
            }
        }
        if (!o.list && o.nameServer == null) {
            throw new IllegalArgumentException("--name-server host:port is missing");
        }
        return o;
    }

    /** Fails of this pair of versions are Apache's own, known, and no business of the case. */
    void notFrom5To4(String why) throws Peer.Skip {
        if (server.startsWith("4.") && MQVersion.CURRENT_VERSION >= MQVersion.Version.V5_0_0.ordinal()) {
            throw new Peer.Skip("5.x client on " + server + ": " + why);
        }
    }

    void need5(String what) throws Peer.Skip {
        if (server.startsWith("4.")) {
            throw new Peer.Skip(what + " came with 5.0, the server is " + server);
        }
    }
}
