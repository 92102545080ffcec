package load

import (
	"errors"
	"fmt"
	"strings"
)

// Lookup reads the same sources for the application's own keys, for
// consumer.Placeholders: ${pay.topic} is the key topic of the section pay, or pay.topic
// in a properties file, wherever in the file it stands beside "rocketmq". Capitals do not
// count, and - is _. A variable of that name, PAY_TOPIC, wins over the files; an empty one
// counts as not set, and what is Set wins over both. An element of a list is found by its index, as pay.topics[0].
//
//	lookup, err := load.Lookup(load.File("application.yaml"))
//	mux := consumer.NewMux("pay_consumer_group", consumer.Placeholders(lookup))
func Lookup(opts ...Option) (func(key string) (value string, ok bool), error) {
	src := gather(opts)
	values := map[string]string{}
	var errs []error
	for _, f := range src.files {
		settings, err := f.parse()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, e := range flatten(nil, entry{}, settings) {
			put(values, e.path, e.v)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	sets := map[string]string{}
	for _, e := range src.sets {
		put(sets, e.path, e.v)
	}
	environ := map[string]string{}
	for _, e := range src.environ {
		if name, value, _ := strings.Cut(e, "="); value != "" {
			environ[name] = value
		}
	}
	inName := strings.NewReplacer(".", "_", "-", "_", "[", "_", "]", "")
	return func(key string) (string, bool) {
		if v, ok := sets[snake(key)]; ok {
			return v, true
		}
		if v, ok := environ[strings.ToUpper(inName.Replace(key))]; ok {
			return v, true
		}
		v, ok := values[snake(key)]
		return v, ok
	}, nil
}

// put writes a leaf down, a list's elements one by one. A later file wins.
func put(values map[string]string, path string, v any) {
	switch v := v.(type) {
	case nil, map[string]any: // "key:" without a value
	case []any:
		for i, elem := range v {
			put(values, fmt.Sprintf("%s[%d]", path, i), elem)
		}
	default:
		values[strings.ToLower(path)] = fmt.Sprint(v)
	}
}
