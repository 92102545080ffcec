package admin;

import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import org.apache.commons.cli.CommandLine;
import org.apache.commons.cli.CommandLineParser;
import org.apache.commons.cli.Options;
import org.apache.commons.cli.ParseException;
import org.apache.commons.cli.PosixParser;
import org.apache.rocketmq.acl.common.AclUtils;
import org.apache.rocketmq.common.MixAll;
import org.apache.rocketmq.srvutil.ServerUtil;
import org.apache.rocketmq.tools.command.MQAdminStartup;
import org.apache.rocketmq.tools.command.SubCommand;

/**
 * Runs many commands of mqadmin in one JVM: {@code Admin <limit in ms> <command>...}, where a command is one argument
 * whose words are separated by line feeds. It prints a line for each, in order: {@code ok}, {@code late} when the
 * command went past the limit, or {@code refused} when mqadmin would end with its usage, how many milliseconds it took, then what
 * the command printed to the standard output and to the standard error, both in Base64.
 *
 * <p>{@code commands} prints the names of all commands, {@code call} calls a method of the tools' library, and
 * {@code account} writes an access key and its secret, or none, to the file that mqadmin reads them from.
 *
 * <p>It finds and parses commands as MQAdminStartup does, but for the System.exit of a command line that is wrong.
 */
public final class Admin {
    private static final PrintStream OUT = System.out;
    private static final String TOOLS_FILE = System.getenv("ROCKETMQ_HOME") + MixAll.ACL_CONF_TOOLS_FILE;

    private Admin() {
    }

    public static void main(String[] args) throws Exception {
        System.setIn(InputStream.nullInputStream());
        MQAdminStartup.initCommand();
        long limit = Long.parseLong(args[0]);
        for (String line : Arrays.asList(args).subList(1, args.length)) {
            run(limit, line.split("\n"));
        }
        System.exit(0); // whatever a late command has left running
    }

    private static void run(long limit, String[] words) throws Exception {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        PrintStream stdout = new PrintStream(out, true, "UTF-8");
        PrintStream stderr = new PrintStream(err, true, "UTF-8");
        PrintStream before = System.err;
        System.setOut(stdout);
        System.setErr(stderr);
        String[] outcome = {"ok"};
        Thread t = new Thread(() -> outcome[0] = execute(words, stderr), words[0]);
        t.setDaemon(true);
        long begun = System.nanoTime();
        t.start();
        do {
            t.join(20);
            hurry(t);
        } while (t.isAlive() && System.nanoTime() - begun < limit * 1_000_000);
        if (t.isAlive()) {
            outcome[0] = "late";
            t.interrupt();
        }
        System.setErr(before);
        long millis = (System.nanoTime() - begun) / 1_000_000;
        OUT.println(outcome[0] + " " + millis + " " + encode(out) + " " + encode(err));
    }

    /** Ends the wait of up to 3 s in which 5.x's client, when it is shut down, waits for a thread that waits for events. */
    private static void hurry(Thread t) {
        for (StackTraceElement e : t.getStackTrace()) {
            if (e.getClassName().endsWith(".ServiceThread") && e.getMethodName().equals("shutdown")) {
                for (Thread other : Thread.getAllStackTraces().keySet()) {
                    if (other.getName().contains("NettyEventExecutor")) {
                        other.interrupt();
                    }
                }
            }
        }
    }

    private static String encode(ByteArrayOutputStream b) {
        return "=" + Base64.getEncoder().encodeToString(b.toByteArray()); // never empty
    }

    private static String execute(String[] words, PrintStream err) {
        try {
            if (words[0].equals("call")) { // call <method> <word>... -n <name servers>
                Calls.call(words[words.length - 1], words[1], Arrays.copyOfRange(words, 2, words.length - 2));
                return "ok";
            }
            if (words[0].equals("commands")) {
                commands().forEach(c -> System.out.println(c.commandName()));
                return "ok";
            }
            if (words[0].equals("account")) {
                Files.writeString(Path.of(TOOLS_FILE), words.length == 1 ? "" : "accessKey: " + words[1] + "\nsecretKey: " + words[2] + "\n");
                return "ok";
            }
            SubCommand command = find(words[0]);
            if (command == null) {
                err.println("The sub command " + words[0] + " not exist.");
                return "refused";
            }
            Options options = command.buildCommandlineOptions(ServerUtil.buildCommandlineOptions(new Options()));
            CommandLine line = parser().parse(options, Arrays.copyOfRange(words, 1, words.length));
            if (line.hasOption('n')) {
                System.setProperty(MixAll.NAMESRV_ADDR_PROPERTY, line.getOptionValue('n'));
            }
            command.execute(line, options, AclUtils.getAclRPCHook(TOOLS_FILE));
            return "ok";
        } catch (ParseException e) {
            err.println(e.getMessage());
            return "refused";
        } catch (Throwable e) { // as main0 does
            e.printStackTrace(err);
            return "ok";
        }
    }

    private static CommandLineParser parser() throws ReflectiveOperationException {
        try {
            return (CommandLineParser) Class.forName("org.apache.commons.cli.DefaultParser").getConstructor().newInstance();
        } catch (ClassNotFoundException e) { // 4.9
            return new PosixParser();
        }
    }

    private static SubCommand find(String name) throws ReflectiveOperationException {
        for (SubCommand c : commands()) {
            if (name.equalsIgnoreCase(c.commandName()) || name.equalsIgnoreCase(c.commandAlias())) {
                return c.getClass().getDeclaredConstructor().newInstance(); // one of queryMsgByUniqueKey works once
            }
        }
        return null;
    }

    private static List<SubCommand> commands() throws ReflectiveOperationException {
        List<SubCommand> all = new ArrayList<>();
        for (Field f : MQAdminStartup.class.getDeclaredFields()) { // 4.9 and 5.x name it differently
            if (Modifier.isStatic(f.getModifiers()) && List.class.isAssignableFrom(f.getType())) {
                f.setAccessible(true);
                for (Object o : (List<?>) f.get(null)) {
                    all.add((SubCommand) o);
                }
            }
        }
        return all;
    }
}
