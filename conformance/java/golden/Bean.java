package golden;

import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.atomic.AtomicLong;

/**
 * An Apache object filled by field name, with the logical values kept beside it for the manifest. Fields rather than
 * setters: the packages of these classes differ between 4.9 and 5.x, their fields hardly do.
 */
final class Bean {
    private static final String[] PACKAGES = {
        "org.apache.rocketmq.remoting.protocol.", // 5.x
        "org.apache.rocketmq.common.protocol.", // 4.9
        "org.apache.rocketmq.common.",
        "org.apache.rocketmq.store.",
    };

    private final Object target;
    private final Map<String, Object> values = new LinkedHashMap<>();

    private Bean(Object target) {
        this.target = target;
    }

    static Bean of(String name) throws ReflectiveOperationException {
        Constructor<?> c = type(name).getDeclaredConstructor();
        c.setAccessible(true);
        return new Bean(c.newInstance());
    }

    static Class<?> type(String name) throws ClassNotFoundException {
        Class<?> found = find(name);
        if (found == null) {
            throw new ClassNotFoundException(name + " in none of the known packages");
        }
        return found;
    }

    static Class<?> find(String name) {
        for (String prefix : PACKAGES) {
            try {
                return Class.forName(prefix + name);
            } catch (ClassNotFoundException e) {
                // the next package
            }
        }
        return null;
    }

    Object target() {
        return target;
    }

    Map<String, Object> values() {
        return values;
    }

    boolean has(String name) {
        return field(target.getClass(), name) != null;
    }

    /** Sets a field that only some versions know. */
    Bean setIfKnown(String name, Object value) throws ReflectiveOperationException {
        return has(name) ? set(name, value) : this;
    }

    Bean set(String name, Object value) throws ReflectiveOperationException {
        put(target, name, unwrap(value));
        values.put(name, logical(value));
        return this;
    }

    static void put(Object target, String name, Object value) throws ReflectiveOperationException {
        Field f = field(target.getClass(), name);
        if (f == null) {
            throw new NoSuchFieldException(target.getClass().getName() + "." + name);
        }
        f.set(target, convert(value, f.getType()));
    }

    static Object get(Object target, String name) throws ReflectiveOperationException {
        return field(target.getClass(), name).get(target);
    }

    static Field field(Class<?> c, String name) {
        for (; c != null && c != Object.class; c = c.getSuperclass()) {
            for (Field f : c.getDeclaredFields()) {
                if (f.getName().equals(name) && !Modifier.isStatic(f.getModifiers())) {
                    f.setAccessible(true);
                    return f;
                }
            }
        }
        return null;
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private static Object convert(Object value, Class<?> type) {
        if (type.isEnum() && value instanceof String) {
            return Enum.valueOf((Class) type, (String) value);
        }
        if ((type == Long.class || type == long.class) && value instanceof Integer) {
            return ((Integer) value).longValue();
        }
        if (type == AtomicLong.class && value instanceof Number) {
            return new AtomicLong(((Number) value).longValue());
        }
        if (ConcurrentMap.class.isAssignableFrom(type) && value instanceof Map) {
            return new ConcurrentHashMap<>((Map<Object, Object>) value);
        }
        if (type.getName().endsWith(".HashSet") && value instanceof Collection) {
            return new LinkedHashSet<>((Collection<Object>) value);
        }
        if (java.util.Set.class.isAssignableFrom(type) && value instanceof Collection) {
            return new LinkedHashSet<>((Collection<Object>) value); // identity hashes would shuffle a HashSet
        }
        return value;
    }

    private static Object unwrap(Object value) {
        if (value instanceof Bean) {
            return ((Bean) value).target;
        }
        if (value instanceof Map) {
            Map<Object, Object> m = new LinkedHashMap<>();
            ((Map<?, ?>) value).forEach((k, v) -> m.put(unwrap(k), unwrap(v)));
            return m;
        }
        if (value instanceof Collection) {
            List<Object> list = new ArrayList<>();
            ((Collection<?>) value).forEach(v -> list.add(unwrap(v)));
            return list;
        }
        return value;
    }

    /** What the manifest shows: a map with object keys becomes a list of key and value. */
    static Object logical(Object value) {
        if (value instanceof Bean) {
            return ((Bean) value).values;
        }
        if (value instanceof Map) {
            Map<?, ?> in = (Map<?, ?>) value;
            boolean plain = in.keySet().stream().noneMatch(k -> k instanceof Bean);
            if (plain) {
                Map<String, Object> m = new LinkedHashMap<>();
                in.forEach((k, v) -> m.put(String.valueOf(k), logical(v)));
                return m;
            }
            List<Object> pairs = new ArrayList<>();
            in.forEach((k, v) -> pairs.add(Golden.map("key", logical(k), "value", logical(v))));
            return pairs;
        }
        if (value instanceof Collection) {
            List<Object> list = new ArrayList<>();
            ((Collection<?>) value).forEach(v -> list.add(logical(v)));
            return list;
        }
        return value;
    }
}
