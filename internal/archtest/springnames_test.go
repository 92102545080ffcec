package archtest

import (
	"archive/zip"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/conformance/apache"
)

var update = flag.Bool("update", false, "write testdata/rocketmq-spring.txt from the sources")

// springName is a name that rocketmq-spring gives its users.
type springName struct {
	where string // property, an annotation, a class, an enumeration, or interface
	name  string
	java  string // the type of a property
}

// springList is where those of version 2.3.5 are kept: a line each.
const springList = "testdata/rocketmq-spring.txt"

func springNames(t *testing.T) []springName {
	t.Helper()
	text, err := os.ReadFile(springList)
	if err != nil {
		t.Fatal(err)
	}
	var all []springName
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		where, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, java, _ := strings.Cut(rest, " ")
		all = append(all, springName{where, name, java})
	}
	return all
}

// The list has what the published sources declare.
func TestTheNamesAreThoseOfRocketmqSpringsSources(t *testing.T) {
	t.Parallel()
	if os.Getenv(apache.EnvRequired) != "1" {
		t.Skip(apache.LeftOut)
	}
	spring := sources(t, "org.apache.rocketmq:rocketmq-spring-boot:2.3.5")
	messaging := sources(t, "org.springframework:spring-messaging:5.3.27") // what it is built with
	got := "# What rocketmq-spring-boot 2.3.5 and the template's base class in spring-messaging 5.3.27 declare.\n" +
		"# Written by ROCKETKIT_APACHE=1 go test -run TestTheNamesAreThose ./internal/archtest -update\n"
	for _, n := range declaredBySpring(spring, messaging) {
		got += strings.TrimSpace(fmt.Sprintf("%s %s %s", n.where, n.name, n.java)) + "\n"
	}
	if *update {
		if err := os.WriteFile(springList, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(springList)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, string(kept)); diff != "" {
		t.Errorf("(-sources +%s):\n%s", springList, diff)
	}
}

// sources has Maven fetch an artifact's sources, and returns them by path.
func sources(t *testing.T, artifact string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	mvn := exec.CommandContext(t.Context(), "mvn", "-q", "-B", "dependency:copy", "-Dartifact="+artifact+":jar:sources", "-DoutputDirectory="+dir)
	if out, err := mvn.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	jars, err := filepath.Glob(filepath.Join(dir, "*.jar"))
	if err != nil || len(jars) != 1 {
		t.Fatalf("jars %q, %v", jars, err)
	}
	data, err := os.ReadFile(jars[0])
	if err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, entry := range r.File {
		if path.Ext(entry.Name) != ".java" {
			continue
		}
		f, err := entry.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		all[entry.Name] = string(text)
	}
	return all
}

// declaredBySpring reads the names out of the sources.
func declaredBySpring(spring, messaging map[string]string) []springName {
	const root = "org/apache/rocketmq/spring/"
	all := properties(spring[root+"autoconfigure/RocketMQProperties.java"])
	once := map[springName]bool{}
	add := func(where, source, pattern string) {
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(source, -1) {
			n := springName{where: where, name: m[1]}
			if !once[n] {
				once[n] = true
				all = append(all, n)
			}
		}
	}
	for _, name := range []string{"RocketMQMessageListener", "ExtRocketMQTemplateConfiguration", "ExtRocketMQConsumerConfiguration", "RocketMQTransactionListener"} {
		add("@"+name, spring[root+"annotation/"+name+".java"], `(?m)^    \w+ (\w+)\(\)`)
	}
	const method = `(?m)^\s+public (?:<[^>]*> )?[\w<>]+ (\w+)\(`
	add("RocketMQTemplate", spring[root+"core/RocketMQTemplate.java"], method)
	add("RocketMQTemplate", messaging["org/springframework/messaging/core/AbstractMessageSendingTemplate.java"], method)
	add("RocketMQHeaders", spring[root+"support/RocketMQHeaders.java"], `String (\w+) =`)
	for _, name := range []string{"annotation/ConsumeMode", "annotation/MessageModel", "annotation/SelectorType", "core/RocketMQLocalTransactionState"} {
		add(path.Base(name), spring[root+name+".java"], `(?m)^    ([A-Z][A-Z0-9]+)\b`)
	}
	for _, name := range []string{"RocketMQListener", "RocketMQReplyListener", "RocketMQLocalTransactionListener", "RocketMQLocalRequestCallback", "RocketMQPushConsumerLifecycleListener"} {
		add("interface", spring[root+"core/"+name+".java"], `public interface (\w+)`)
	}
	return all
}

// properties are the keys that Spring binds to the fields of RocketMQProperties.
func properties(source string) []springName {
	class := regexp.MustCompile(`^    public static class (\w+)(?: extends (\w+))?`)
	field := regexp.MustCompile(`^ +private (.+?) (\w+)(?: = .*)?;`)
	fields, section := map[string][][]string{}, ""
	for line := range strings.Lines(source) {
		if m := class.FindStringSubmatch(line); m != nil {
			section = m[1]
			if m[2] != "" {
				fields[section] = slices.Clone(fields[m[2]])
			}
		} else if m := field.FindStringSubmatch(line); m != nil {
			fields[section] = append(fields[section], m)
		}
	}
	var all []springName
	for _, top := range fields[""] {
		key := "rocketmq." + kebab(top[2])
		if len(fields[top[1]]) == 0 {
			all = append(all, springName{"property", key, top[1]})
		}
		for _, f := range fields[top[1]] {
			all = append(all, springName{"property", key + "." + kebab(f[2]), f[1]})
		}
	}
	return all
}

// kebab is the spelling of a field's name in files.
func kebab(name string) string {
	return strings.ToLower(regexp.MustCompile(`[A-Z]`).ReplaceAllString(name, "-$0"))
}
