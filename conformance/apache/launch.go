package apache

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"
)

var errPortTaken = errors.New("apache: a chosen port is in use")

// opens are the doors into the JDK that Apache's scripts open for Java 17.
func opens() []string {
	return []string{
		"--add-opens=java.base/java.nio=ALL-UNNAMED", "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
		"--add-exports=java.base/sun.nio.ch=ALL-UNNAMED", "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
	}
}

const logback = `<configuration><appender name="OUT" class="ch.qos.logback.core.ConsoleAppender"><target>System.err</target><encoder>` +
	`<pattern>%d %p %m%n</pattern></encoder></appender><root level="${rocketkit.log:-WARN}"><appender-ref ref="OUT"/></root></configuration>`

// writeHome makes ROCKETMQ_HOME with a quiet log configuration under the names
// that 4.9 (logback_*.xml) and 5.x (rmq.*.logback.xml) look for.
func writeHome(dir string) error {
	conf := filepath.Join(dir, "home", "conf")
	if err := os.MkdirAll(conf, 0o755); err != nil {
		return err
	}
	names := []string{"logback.xml"} // what 4.9's own logging falls back to
	for _, name := range []string{"namesrv", "broker", "tools", "client"} {
		names = append(names, "logback_"+name+".xml", "rmq."+name+".logback.xml")
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(conf, name), []byte(logback), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) launchNameServer(classpath string, port int) (*process, error) {
	conf := map[string]string{"listenPort": strconv.Itoa(port)}
	if strings.HasPrefix(s.opts.Version, "5.") {
		conf["bindAddress"] = "127.0.0.1"
	}
	jvm := append(append(opens(), "-Xms256m", "-Xmx256m"), shortLived()...)
	jvm = append(jvm, s.opts.NameServerJVM...)
	return s.launch("namesrv", jvm, classpath, "org.apache.rocketmq.namesrv.NamesrvStartup", conf)
}

func (s *Server) awaitNameServer(ctx context.Context, p *process) error {
	return s.await(ctx, p, "the name server to listen on "+s.nameServer, func(ctx context.Context) bool {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.nameServer)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
}

func (s *Server) launchBroker(classpath string, port int) (*process, error) {
	conf := brokerConf(s.opts, s.dir, port, s.nameServer)
	jvm := append(opens(), "-Xms512m", "-Xmx1g", "-XX:MaxDirectMemorySize=1g")
	if !s.opts.Fast {
		jvm = append(jvm, shortLived()...)
	}
	jvm = append(jvm, s.opts.JVM...)
	return s.launch("broker", jvm, classpath, "org.apache.rocketmq.broker.BrokerStartup", conf)
}

func (s *Server) awaitBroker(ctx context.Context, p *process) error {
	first, _, _ := strings.Cut(s.nameServer, ";")
	return s.await(ctx, p, "the broker to register at "+first, func(ctx context.Context) bool {
		body, err := clusterInfo(ctx, first)
		return err == nil && strings.Contains(body, `"`+s.broker+`"`)
	})
}

// brokerConf is broker.conf: what the suite needs and, over it, the caller's.
func brokerConf(o Options, dir string, port int, nameServer string) map[string]string {
	store := filepath.Join(dir, "store")
	conf := map[string]string{
		"brokerClusterName": "DefaultCluster",
		"brokerName":        "broker-a",
		"brokerId":          "0",
		"brokerIP1":         "127.0.0.1",
		"brokerIP2":         "127.0.0.1",
		"listenPort":        strconv.Itoa(port),
		"haListenPort":      strconv.Itoa(port + 1),
		"namesrvAddr":       nameServer,
		// The least that Apache allows; a broker that loses its connection to the
		// name server on a busy machine is back after that long.
		"registerNameServerPeriod": "10000",
		"autoCreateTopicEnable":    "true",
		"enablePropertyFilter":     "true",
		"traceTopicEnable":         "true",
		// Apache refuses a send that waited for 200 ms; a busy test machine makes it wait.
		"waitTimeMillsInSendQueue": "5000",
		"storePathRootDir":         store,
		"storePathCommitLog":       filepath.Join(store, "commitlog"),
		"mappedFileSizeCommitLog":  strconv.Itoa(256 << 20),
	}
	if strings.HasPrefix(o.Version, "5.") {
		conf["bindAddress"] = "127.0.0.1"
		conf["timerWheelEnable"] = "true"
		conf["recallMessageEnable"] = "true"
	}
	if o.TransactionCheck > 0 {
		ms := strconv.FormatInt(o.TransactionCheck.Milliseconds(), 10)
		conf["transactionTimeOut"] = ms
		conf["transactionCheckInterval"] = ms
		if strings.HasPrefix(o.Version, "5.") {
			// 5.x gathers the notes of what is decided for 3 s; until they are
			// written it checks back on decided messages too.
			conf["transactionOpBatchInterval"] = strconv.FormatInt(max(o.TransactionCheck.Milliseconds()/10, 1), 10)
		}
	}
	for k, v := range o.BrokerConf {
		conf[k] = v
	}
	return conf
}

func (s *Server) launch(name string, jvm []string, classpath, main string, conf map[string]string) (*process, error) {
	keys := make([]string, 0, len(conf))
	for k := range conf {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	var text strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&text, "%s=%s\n", k, conf[k])
	}
	path := filepath.Join(s.dir, name+".conf")
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
		return nil, err
	}
	args := append(jvm, "-Duser.home="+s.dir, "-cp", classpath, main, "-c", path)
	cmd := exec.Command("java", args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "ROCKETMQ_HOME="+filepath.Join(s.dir, "home"), "NAMESRV_ADDR=")
	p, err := startProcess(name, cmd, filepath.Join(s.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	s.processes = append(s.processes, p)
	s.opts.Log.Debug("started", "process", name, "pid", cmd.Process.Pid, "conf", path)
	return p, nil
}

// await asks ready every 20 ms until it says yes, p ends, or ctx does.
func (s *Server) await(ctx context.Context, p *process, what string, ready func(context.Context) bool) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		if ready(ctx) {
			return nil
		}
		select {
		case <-p.done:
			log := p.logTail()
			if strings.Contains(log, "Address already in use") {
				return fmt.Errorf("%w: %s\n%s", errPortTaken, p.name, log)
			}
			return fmt.Errorf("%w: %s while waiting for %s: %v\n%s", ErrStopped, p.name, what, p.err, log)
		case <-ctx.Done():
			return fmt.Errorf("apache: waiting for %s: %w\n%s", what, ctx.Err(), p.logTail())
		case <-ticker.C:
		}
	}
}
