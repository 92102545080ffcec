package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Change is a key whose value is another in a new configuration.
type Change struct {
	Key string // such as producer.rate_limit, or consumers[group pay].handlers[paid].paused
	// From and To are the values as text, "nothing" for what is not set, and "redacted"
	// for secrets.
	From, To string
	// Now says that it can change while the program runs: log_level, rate_limit,
	// concurrency, and paused.
	Now bool
}

func (c Change) String() string {
	if c.From == redacted || c.To == redacted {
		return c.Key + " (" + redacted + ")"
	}
	return fmt.Sprintf("%s from %s to %s", c.Key, c.From, c.To)
}

const (
	nothing  = "nothing"
	redacted = "redacted"
)

// Changes are the differences of two configurations, as WithDefaults returns them.
// Consumers are compared by their group and handlers by their name, in whatever order
// they stand; one that is only in one of the two is compared with one that sets
// nothing.
func Changes(from, to Config) []Change {
	var all []Change
	compare(reflect.ValueOf(from), reflect.ValueOf(to), "", &all)
	return all
}

// compare appends the differences of two structs of a type.
func compare(from, to reflect.Value, prefix string, all *[]Change) {
	for i := range from.NumField() {
		f, a, b := from.Type().Field(i), from.Field(i), to.Field(i)
		key := f.Tag.Get("key")
		if prefix != "" {
			key = prefix + "." + key
		}
		switch {
		case f.Type.Kind() == reflect.Struct:
			compare(a, b, key, all)
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			compareByName(a, b, key, all)
		case reflect.DeepEqual(a.Interface(), b.Interface()), a.Kind() == reflect.Slice && a.Len()+b.Len() == 0:
		default:
			c := Change{Key: key, From: shown(a), To: shown(b), Now: f.Tag.Get("reload") == "now"}
			if f.Tag.Get("secret") != "" {
				c.From, c.To = redacted, redacted
			}
			*all = append(*all, c)
		}
	}
}

// compareByName compares two lists of structs, whose first field is their name.
func compareByName(from, to reflect.Value, key string, all *[]Change) {
	label := ""
	if from.Type().Elem() == reflect.TypeFor[Consumer]() {
		label = "group "
	}
	none := reflect.Zero(from.Type().Elem())
	for i := range from.Len() {
		a := from.Index(i)
		b, ok := named(to, a.Field(0).String())
		if !ok {
			b = none
		}
		compareNamed(a, b, fmt.Sprintf("%s[%s%s]", key, label, a.Field(0)), all)
	}
	for i := range to.Len() {
		b := to.Index(i)
		if _, ok := named(from, b.Field(0).String()); !ok {
			compareNamed(none, b, fmt.Sprintf("%s[%s%s]", key, label, b.Field(0)), all)
		}
	}
}

// compareNamed is compare without the name.
func compareNamed(from, to reflect.Value, key string, all *[]Change) {
	a, b := reflect.New(from.Type()).Elem(), reflect.New(to.Type()).Elem()
	a.Set(from)
	b.Set(to)
	a.Field(0).SetString("")
	b.Field(0).SetString("")
	compare(a, b, key, all)
}

func named(list reflect.Value, name string) (reflect.Value, bool) {
	for i := range list.Len() {
		if list.Index(i).Field(0).String() == name {
			return list.Index(i), true
		}
	}
	return reflect.Value{}, false
}

func shown(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil():
		return fmt.Sprint(v.Elem())
	case v.IsZero():
		return nothing
	}
	return fmt.Sprint(v)
}

// RestartError says that a new configuration differs in keys that cannot change while
// the program runs. Nothing of it was taken.
type RestartError struct {
	Changes []Change // those that cannot
}

func (e *RestartError) Error() string {
	var b strings.Builder
	b.WriteString("config: restart required: nothing was changed, since while the program runs these keys cannot:")
	remedy := ""
	for _, c := range e.Changes {
		b.WriteString("\n  - ")
		b.WriteString(c.String())
		if strings.Contains(c.Key, ".handlers[") && strings.HasSuffix(c.Key, ".enabled") {
			remedy = "\nenabled changes what is subscribed to; paused: true holds a handler at once"
		}
	}
	return b.String() + remedy
}
