package load

import (
	"errors"
	"fmt"
	"maps"
	"strings"
)

// Lookup reads the same sources for the application's own keys, for
// consumer.Placeholders: ${pay.topic} is the key topic of the section pay, or pay.topic
// in a properties file, wherever in the file it stands beside "rocketmq". Capitals do not
// count, and - is _. A variable of that name, PAY_TOPIC, wins over the files, and so does
// the one that the tag env of a Section among opts names; an empty one counts as not set,
// and what is Set wins over all. An element of a list is found by its index, as
// pay.topics[0].
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
		over(values, flatten(nil, entry{}, settings))
	}
	named := map[string]string{}
	for _, o := range src.sections {
		if errs = append(errs, o.err); o.err != nil {
			continue
		}
		for path, name := range o.schema.named("") {
			named[o.name+"."+path] = name
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
		if name, value, _ := strings.Cut(e, "="); value != "" && !isServiceLink(name, value, src.environ) {
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
		if name, ok := named[snake(key)]; ok && environ[name] != "" {
			return environ[name], true
		}
		v, ok := values[snake(key)]
		return v, ok
	}, nil
}

// over writes a file's leaves over those of the files before it. Its lists take the place
// of theirs as a whole.
func over(values map[string]string, entries []entry) {
	lists := map[string]bool{}
	for _, e := range entries {
		list, _, ok := strings.Cut(strings.ToLower(e.path), "[")
		if _, is := e.v.([]any); ok || is {
			lists[list] = true
		}
	}
	maps.DeleteFunc(values, func(path, _ string) bool {
		list, _, ok := strings.Cut(path, "[")
		return ok && lists[list]
	})
	for _, e := range entries {
		put(values, e.path, e.v)
	}
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
