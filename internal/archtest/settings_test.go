package archtest

import (
	"context"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/config/load"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/internal/setting"
	"github.com/rocketkit/rocketkit/message"
)

var (
	tagForm = regexp.MustCompile(`^[a-z_]+:"`)
	keyForm = regexp.MustCompile(`^[a-z_\[\].]+: \S`)
)

// isTag reports whether a span is tags of a handler's field, such as retries:"16".
func (s span) isTag() bool { return tagForm.MatchString(s.text) }

// isKey reports whether a span is a key of a file with its value, such as
// producer.send_timeout: 3s.
func (s span) isKey() bool { return keyForm.MatchString(s.text) }

// bind has consumer.Bind read the tags, which must be its own.
func (s span) bind() string {
	key, _, _ := strings.Cut(s.text, ":")
	handler := any(consumer.Func[*message.Delivery](func(context.Context, *message.Delivery) error { return nil }))
	tags := s.text
	switch key {
	case setting.Topic, "dlq":
	case setting.Batch, setting.BatchWait:
		handler = consumer.BatchFunc[string](func(context.Context, *consumer.Batch[string]) error { return nil })
		fallthrough
	default:
		if !slices.Contains(setting.Keys(), key) {
			return s.problem("no tag of consumer.Bind; there are %q", setting.Keys())
		}
		tags = `topic:"orders" ` + tags
	}
	fields := reflect.New(reflect.StructOf([]reflect.StructField{{Name: "Handler", Type: reflect.TypeOf(handler), Tag: reflect.StructTag(tags)}}))
	fields.Elem().Field(0).Set(reflect.ValueOf(handler))
	if err := consumer.Bind(consumer.NewMux("group"), fields.Interface()); err != nil {
		return s.problem("%v", err)
	}
	return ""
}

// directive has the tags in the form that stands above a function.
func (s span) directive() string {
	text := regexp.MustCompile(`([a-z_]+):"`).ReplaceAllString(s.text, `$1="`)
	if !strings.HasPrefix(text, setting.Topic) {
		text = "topic=orders " + text
	}
	return fmt.Sprintf("//line %s:%d\n//rocketmq:listener %s", s.page, s.line, text)
}

// keyValue is a key with its value.
type keyValue struct {
	span  span
	path  string // with [] for a list's element
	value any
}

// keyValues are the keys of a span in a file's form; one that holds keys gives each.
func (s span) keyValues() ([]keyValue, error) {
	var tree map[string]any
	if err := yaml.Unmarshal([]byte(s.text), &tree); err != nil {
		return nil, fmt.Errorf("no YAML: %w", err)
	}
	var all []keyValue
	var walk func(path string, v any)
	walk = func(path string, v any) {
		if sub, ok := v.(map[string]any); ok {
			for k, v := range sub {
				walk(path+"."+k, v)
			}
			return
		}
		all = append(all, keyValue{s, path, v})
	}
	for k, v := range tree {
		walk(k, v)
	}
	return all, nil
}

// keyProblems loads the keys of a row's spans, and looks for them in the configuration:
// together in one file, as far as none comes twice, since some need each other.
func keyProblems(spans []span) []string {
	var problems []string
	var file []keyValue
	flush := func() {
		problems = append(problems, loadProblems(file)...)
		file = nil
	}
	for _, s := range spans {
		values, err := s.keyValues()
		if err != nil {
			problems = append(problems, s.problem("%v", err))
			continue
		}
		for _, v := range values {
			if slices.ContainsFunc(file, func(old keyValue) bool { return old.path == v.path }) {
				flush()
			}
		}
		file = append(file, values...)
	}
	flush()
	return problems
}

// loadProblems loads keys as one file.
func loadProblems(file []keyValue) []string {
	if len(file) == 0 {
		return nil
	}
	keys := map[string]any{"name_servers": "ns1:9876"}
	for _, v := range file {
		keys[v.path] = v.value
	}
	cfg, err := loaded(keys)
	if err == nil {
		err = cfg.Validate()
	}
	if err != nil {
		return []string{file[0].span.problem("%v", err)}
	}
	var problems []string
	has := leaves(cfg)
	for _, v := range file {
		got, ok := has[strings.ReplaceAll(v.path, "[]", "[0]")]
		if !ok || !same(got, v.value) {
			problems = append(problems, v.span.problem("%s is %v in the configuration", v.path, got))
		}
	}
	return problems
}

// loaded reads keys of the section "rocketmq"; elements of lists get the names that they
// need.
func loaded(keys map[string]any) (config.Config, error) {
	file := map[string]any{}
	for path, value := range keys {
		for list, name := range map[string]string{"consumers[].": "group", "handlers[].": "name"} {
			if at, _, ok := strings.Cut(path, list); ok && keys[at+list+name] == nil {
				file[strings.ReplaceAll(at+list+name, "[]", "[0]")] = "sample"
			}
		}
		file[strings.ReplaceAll(path, "[]", "[0]")] = value
	}
	text, err := yaml.Marshal(map[string]any{"rocketmq": file})
	if err != nil {
		return config.Config{}, err
	}
	return load.Load(load.Data("application.yml", "yaml", text), load.Environ(nil))
}

// loadedKey reads a key of rocketmq-spring.
func loadedKey(key string, value any) (config.Config, error) {
	return loaded(map[string]any{strings.TrimPrefix(key, "rocketmq."): value})
}

// camel is a key in the spelling of Java's fields.
func camel(key string) string {
	return regexp.MustCompile(`-[a-z0-9]`).ReplaceAllStringFunc(key, func(s string) string { return strings.ToUpper(s[1:]) })
}

// leaves are the values of a configuration that are set, by the paths of their keys.
func leaves(cfg config.Config) map[string]any {
	all := map[string]any{}
	var walk func(v reflect.Value, path string)
	walk = func(v reflect.Value, path string) {
		switch {
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i), strings.TrimPrefix(path+"."+v.Type().Field(i).Tag.Get("key"), "."))
			}
		case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
			for i := range v.Len() {
				walk(v.Index(i), path+"["+strconv.Itoa(i)+"]")
			}
		case v.IsZero():
		default:
			all[path] = reflect.Indirect(v).Interface()
		}
	}
	walk(reflect.ValueOf(cfg), "")
	return all
}

// same reports whether a configuration's value is the file's.
func same(got, want any) bool {
	text := fmt.Sprint(want)
	switch got := got.(type) {
	case time.Duration:
		if ms, ok := want.(int); ok {
			return got == time.Duration(ms)*time.Millisecond // as rocketmq-spring has it
		}
		d, err := time.ParseDuration(text)
		return err == nil && got == d
	case config.Size:
		size, err := config.ParseSize(text)
		return err == nil && got == size
	case []string:
		return text == fmt.Sprint(got) || slices.Equal(got, config.SplitAddresses(text))
	}
	return fmt.Sprint(got) == text
}
