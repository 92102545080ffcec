package admin;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.Arrays;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** Calls what the tools' library offers to dashboards and no command of mqadmin uses. */
final class Calls {
    private Calls() {
    }

    /** Calls the method of DefaultMQAdminExt that is named and takes that many words, and prints its result as JSON. */
    static void call(String nameServers, String method, String... words) throws Throwable {
        DefaultMQAdminExt ext = new DefaultMQAdminExt();
        ext.setNamesrvAddr(nameServers);
        ext.setInstanceName(Long.toString(System.nanoTime()));
        try {
            ext.start();
            System.out.println(json(find(method, words.length).invoke(ext, arguments(find(method, words.length), words))));
        } catch (InvocationTargetException e) {
            throw e.getCause();
        } finally {
            ext.shutdown();
        }
    }

    private static Method find(String name, int count) throws NoSuchMethodException {
        return Arrays.stream(DefaultMQAdminExt.class.getMethods())
            .filter(m -> m.getName().equals(name) && m.getParameterCount() == count)
            .findFirst().orElseThrow(() -> new NoSuchMethodException(name));
    }

    private static Object[] arguments(Method m, String[] words) {
        Object[] arguments = new Object[words.length];
        for (int i = 0; i < words.length; i++) {
            Class<?> type = m.getParameterTypes()[i];
            arguments[i] = type == long.class ? Long.valueOf(words[i]) : type == Boolean.class ? Boolean.valueOf(words[i]) : words[i];
        }
        return arguments;
    }

    private static Object json(Object o) throws ReflectiveOperationException {
        Class<?> to;
        try {
            to = Class.forName("org.apache.rocketmq.remoting.protocol.RemotingSerializable");
        } catch (ClassNotFoundException e) {
            to = Class.forName("org.apache.rocketmq.common.protocol.RemotingSerializable"); // 4.9
        }
        return to.getMethod("toJson", Object.class, boolean.class).invoke(null, o, true);
    }
}
