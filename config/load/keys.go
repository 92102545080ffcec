package load

import (
	"iter"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/internal/nearest"
)

// kindOf says how a key's value is built.
type kindOf int

const (
	leaf  kindOf = iota
	group        // a map of keys
	list         // a list of groups
)

// schema is what may stand under a key.
type schema struct {
	kind kindOf
	keys map[string]*schema // of a section, or of a list's elements
	env  string             // the variable that the tag env names
}

// known is the schema of config.Config.
func known() *schema { return schemaOf(reflect.TypeFor[config.Config]()) }

func schemaOf(t reflect.Type) *schema {
	s := &schema{}
	switch {
	case t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]():
		s.kind = group
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		s.kind, t = list, t.Elem()
	default:
		return s
	}
	s.keys = make(map[string]*schema, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		if key := f.Tag.Get("key"); key != "" {
			s.keys[key] = schemaOf(f.Type)
			s.keys[key].env = f.Tag.Get("env")
		}
	}
	return s
}

// named are the leaves under s, but for those in lists, that have a variable of their own.
func (s *schema) named(path string) map[string]string {
	all := map[string]string{}
	if s.kind == leaf && s.env != "" {
		all[path] = s.env
	}
	if s.kind != group {
		return all
	}
	for name, sub := range s.keys {
		maps.Copy(all, sub.named(strings.TrimPrefix(path+"."+name, ".")))
	}
	return all
}

// paths lists the leaves under s, with dots, and [] for a list's index.
func (s *schema) paths(prefix string) []string {
	if s.kind == leaf {
		return []string{prefix}
	}
	if s.kind == list {
		prefix += "[]"
	}
	if prefix != "" {
		prefix += "."
	}
	var all []string
	for name, sub := range s.keys {
		all = append(all, sub.paths(prefix+name)...)
	}
	slices.Sort(all)
	return all
}

// alias is another name for a key.
type alias struct {
	to     string
	millis bool // a bare number is in ms
}

// aliases are the names of rocketmq-spring's RocketMQProperties that have a
// counterpart here, in snake case.
func aliases() map[string]alias {
	return map[string]alias{
		"name_server":                                 {to: "name_servers"},
		"producer.send_message_timeout":               {to: "producer.send_timeout", millis: true},
		"producer.retry_times_when_send_failed":       {to: "producer.retries"},
		"producer.retry_times_when_send_async_failed": {to: "producer.retries"},
		"producer.compress_message_body_threshold":    {to: "producer.compress_over"},
		"producer.access_key":                         {to: "credentials.access_key"},
		"producer.secret_key":                         {to: "credentials.secret_key"},
		"producer.tls_enable":                         {to: "tls.enabled"},
		"producer.namespace":                          {to: "namespace"},
		"producer.enable_msg_trace":                   {to: "telemetry.message_trace"},
		"producer.customized_trace_topic":             {to: "telemetry.message_trace_topic"},
	}
}

// foreign are rocketmq-spring's keys without a counterpart, and sections of them, and
// what to do.
func foreign() map[string]string {
	const (
		listed      = "consumers are a list here: consumers: [{group: …}]"
		subscribed  = "topics are subscribed to in the program: in a handler's tags or a consumer.Subscription"
		account     = "the client has one account: credentials: {access_key: …, secret_key: …}"
		traced      = "the message trace is the client's: telemetry: {message_trace: true, message_trace_topic: …}"
		namespaceV2 = "it has no counterpart here; use namespace, or remove it"
		instance    = "instance names are unique by themselves; remove it"
	)
	all := map[string]string{
		"access_channel":             "it has no counterpart here; remove it",
		"producer.namespace_v2":      namespaceV2,
		"producer.retry_next_server": "a retry always goes to another broker where there is one; remove it",
		"producer.instance_name":     instance,
	}
	for _, section := range []string{"consumer", "pull_consumer", "push_consumer"} {
		for key, remedy := range map[string]string{
			"":                        listed,
			".namespace":              "the namespace is the client's: namespace: …",
			".namespace_v2":           namespaceV2,
			".topic":                  subscribed,
			".selector_type":          subscribed,
			".selector_expression":    subscribed,
			".message_model":          "consumers are a list here: consumers: [{group: …, model: broadcasting}]",
			".access_key":             account,
			".secret_key":             account,
			".pull_batch_size":        "consumers are a list here: consumers: [{group: …, pull_batch: …}]",
			".enable_msg_trace":       traced,
			".customized_trace_topic": traced,
			".tls_enable":             "TLS is the client's: tls: {enabled: true}",
			".instance_name":          instance,
			".listeners":              "handlers are switched by name: consumers: [{group: …, handlers: [{name: …, enabled: false}]}]",
		} {
			all[section+key] = remedy
		}
	}
	return all
}

// inCamelCase are the form's keys as they are read where a file has them in Java's
// spelling, which Spring takes too: viper puts all in small letters.
func (f *form) inCamelCase() map[string]string {
	all := map[string]string{}
	for _, keys := range []iter.Seq[string]{slices.Values(f.paths), maps.Keys(f.aliases), maps.Keys(f.foreign)} {
		for key := range keys {
			all[strings.ReplaceAll(key, "_", "")] = key
		}
	}
	return all
}

// snakeCase is the key that a path in camel case stands for, or the path itself.
func (f *form) snakeCase(path string) string {
	pattern := index.ReplaceAllString(path, "[]")
	key, ok := f.java[pattern]
	if !ok {
		return path
	}
	for _, at := range index.FindAllString(path, -1) {
		key = strings.Replace(key, "[]", at, 1)
	}
	return key
}

// index is an element's in a path.
var index = regexp.MustCompile(`\[\d+\]`)

// nearestPath is the known path that path most likely means: the one whose last
// name is nearest, and among those the one that is nearest as a whole.
func nearestPath(path string, candidates []string) string {
	best, bestLast, bestAll := "", -1, -1
	for _, c := range candidates {
		last, all := nearest.Distance(lastName(path), lastName(c)), nearest.Distance(path, c)
		if bestLast < 0 || last < bestLast || last == bestLast && all < bestAll {
			best, bestLast, bestAll = c, last, all
		}
	}
	return best
}

func lastName(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }
