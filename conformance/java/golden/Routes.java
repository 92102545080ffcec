package golden;

import java.lang.reflect.Array;
import java.lang.reflect.Method;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.remoting.protocol.RemotingSerializable;

/** What a name server answers: 105 in its two dialects, 106. */
final class Routes {
    private Routes() {
    }

    static void write(Golden g) throws Exception {
        Map<Object, Object> two = new LinkedHashMap<>();
        two.put(0L, "127.0.0.1:10911");
        two.put(1L, "127.0.0.1:10921");
        Map<Object, Object> one = new LinkedHashMap<>();
        one.put(0L, "10.0.0.2:10911");
        Bean a = broker("broker-a", two);
        Bean b = broker("broker-b", one);
        route(g, "body-105-response", Bean.of("route.TopicRouteData")
            .set("queueDatas", List.of(queues("broker-a", 8, 6, 0), queues("broker-b", 4, 4, 1)))
            .set("brokerDatas", List.of(a, b)).set("filterServerTable", Map.of()));
        route(g, "body-105-response-ordered", Bean.of("route.TopicRouteData").set("orderTopicConf", "broker-a:8;broker-b:4")
            .set("queueDatas", List.of(queues("broker-a", 8, 6, 0))).set("brokerDatas", List.of(a))
            .set("filterServerTable", Map.of()));
        Map<Object, Object> brokers = new LinkedHashMap<>();
        brokers.put("broker-a", a);
        brokers.put("broker-b", b);
        Map<Object, Object> clusters = new LinkedHashMap<>();
        clusters.put("DefaultCluster", List.of("broker-a", "broker-b"));
        Bean cluster = Bean.of("body.ClusterInfo").set("brokerAddrTable", brokers).set("clusterAddrTable", clusters);
        Bodies.body(g, "body-106-response", cluster);
        Bodies.body(g, "body-106-response-empty", Bean.of("body.ClusterInfo").set("brokerAddrTable", Map.of())
            .set("clusterAddrTable", Map.of()));
    }

    private static void route(Golden g, String name, Bean route) throws Exception {
        RemotingSerializable data = (RemotingSerializable) route.target();
        Bodies.body(g, name + "-fastjson", route, data.encode(),
            "to clients below version 401 that do not ask for standard JSON: keys of brokerAddrs are bare integers");
        Bodies.body(g, name + "-standard", route, standard(g, data), "to clients from version 401 on");
    }

    /** The features that each version's name server passes to its JSON library. */
    private static byte[] standard(Golden g, RemotingSerializable data) throws Exception {
        String[] names = g.is5() ? new String[] {"BrowserCompatible", "MapSortField"}
            : new String[] {"BrowserCompatible", "QuoteFieldNames", "SkipTransientField", "MapSortField"};
        Class<?> type = Class.forName(g.is5() ? "com.alibaba.fastjson2.JSONWriter$Feature"
            : "com.alibaba.fastjson.serializer.SerializerFeature");
        Object features = Array.newInstance(type, names.length);
        for (int i = 0; i < names.length; i++) {
            Array.set(features, i, type.getField(names[i]).get(null));
        }
        Method encode = RemotingSerializable.class.getMethod("encode", features.getClass());
        return (byte[]) encode.invoke(data, features);
    }

    private static Bean queues(String broker, int n, int perm, int sysFlag) throws Exception {
        return Bean.of("route.QueueData").set("brokerName", broker).set("readQueueNums", n)
            .set("writeQueueNums", n).set("perm", perm).set("topicSysFlag", sysFlag);
    }

    private static Bean broker(String name, Map<Object, Object> addresses) throws Exception {
        Bean b = Bean.of("route.BrokerData").set("cluster", "DefaultCluster").set("brokerName", name)
            .set("brokerAddrs", addresses);
        if (b.has("enableActingMaster")) {
            b.set("enableActingMaster", false);
        }
        return b;
    }
}
