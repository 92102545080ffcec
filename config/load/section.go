package load

import (
	"errors"
	"flag"
	"fmt"
	"reflect"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/internal/nearest"
)

// Section reads the application's own keys, from the section of that name beside
// "rocketmq", into a struct. Its fields have their keys in a tag, in snake case; others
// are left alone. What nothing is said about keeps the value that it has now:
//
//	own := struct {
//		Addr    string        `key:"addr" env:"HTTP_ADDR"`
//		Timeout time.Duration `key:"order_timeout"`
//	}{Addr: ":8080", Timeout: 30 * time.Minute}
//	cfg, err := load.Load(load.File("app.yaml"), load.Section("shop", &own))
//
// The section is as strict as the client's: an unknown key names the nearest, and durations
// have units. Variables win over the files: the one of the tag env, and over that one the
// key's own, such as SHOP_ADDR and SHOP_ORDER_TIMEOUT, in which a slip is an error. When
// everything was read, a method Validate() error of the struct's is asked. The struct changes
// only if all is right, the client's part too.
//
// Fields are texts, bool, int, float64, time.Duration, config.Size, pointers to these,
// []string, and structs and slices of structs of them. A list is replaced as a whole.
//
// A Watcher refuses files that say something else of a section than before.
func Section(name string, into any) Option {
	own := &section{name: name}
	if own.err = own.takes(into); own.err != nil {
		own.err = fmt.Errorf("config: section %q: %w", name, own.err)
	}
	return func(s *sources) { s.sections = append(s.sections, own) }
}

// section is one of the application's own.
type section struct {
	name     string
	schema   *schema
	into     reflect.Value // the application's struct
	defaults reflect.Value // what it was
	loaded   reflect.Value // what Load has read, if it was called
	err      error         // of the program
}

// takes reads the fields of into.
func (o *section) takes(into any) error {
	_, reserved := known().keys[o.name]
	_, spring := foreign()[o.name]
	_, alias := aliases()[o.name]
	switch {
	case !isKey(o.name):
		return errors.New("a section's name is words of small letters and digits, with _ between")
	case o.name == root || reserved || spring || alias:
		return errors.New("that name is the client's; choose another")
	}
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("it is read into a pointer to a struct, not %T", into)
	}
	if err := checkFields(v.Elem().Type(), 0); err != nil {
		return err
	}
	o.into, o.schema = v.Elem(), schemaOf(v.Elem().Type())
	o.defaults = reflect.New(v.Elem().Type()).Elem()
	o.defaults.Set(v.Elem())
	return nil
}

// isKey reports whether a file's key can be this, see flatten, and a variable's name: there
// a number by itself is the index of a list.
func isKey(name string) bool {
	return regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z][a-z0-9]*)*$`).MatchString(name)
}

// checkFields looks for fields that no key can be read into.
func checkFields(t reflect.Type, depth int) error {
	const deepest = 8
	if depth > deepest {
		return fmt.Errorf("type %v is in itself", t)
	}
	keys, seen := map[string]bool{}, 0
	for i := range t.NumField() {
		f := t.Field(i)
		key, ok := f.Tag.Lookup("key")
		if !ok {
			if f.Anonymous && hasKeys(f.Type) {
				return fmt.Errorf("field %s is embedded, and its fields are not read; give it a key, or its fields to the struct itself", f.Name)
			}
			continue
		}
		at := f.Type
		if at.Kind() == reflect.Slice && at.Elem().Kind() == reflect.Struct {
			at = at.Elem()
		}
		switch {
		case !isKey(key) || keys[key]:
			return fmt.Errorf("field %s: the key %q is another field's, or not words of small letters and digits that begin with a letter, with _ between", f.Name, key)
		case !f.IsExported():
			return fmt.Errorf("field %s is not exported, so nothing can be read into it", f.Name)
		case at.Kind() == reflect.Struct:
			if err := checkFields(at, depth+1); err != nil {
				return fmt.Errorf("field %s: %w", f.Name, err)
			}
		case !isLeaf(at):
			return fmt.Errorf("field %s: nothing can be read into a %v; see load.Section", f.Name, f.Type)
		}
		keys[key] = true
		seen++
	}
	if seen == 0 {
		return fmt.Errorf("type %v has no field with a tag key", t)
	}
	return nil
}

// hasKeys reports whether t is a struct, or a pointer to one, with keys.
func hasKeys(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		if _, ok := t.Field(i).Tag.Lookup("key"); ok {
			return true
		}
	}
	return false
}

func isLeaf(t reflect.Type) bool {
	if t == reflect.TypeFor[[]string]() {
		return true
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == reflect.TypeFor[time.Duration]() || t == reflect.TypeFor[config.Size]() {
		return true
	}
	return slices.Contains([]reflect.Kind{reflect.String, reflect.Bool, reflect.Int, reflect.Float64}, t.Kind())
}

// decoded is what a tree says, over the defaults.
func (o *section) decoded(said tree) (reflect.Value, error) {
	p := reflect.New(o.defaults.Type())
	p.Elem().Set(o.defaults)
	if err := said.decode(o.name, p.Interface()); err != nil {
		return p.Elem(), err
	}
	if v, ok := p.Interface().(interface{ Validate() error }); ok {
		return p.Elem(), o.valid(v)
	}
	return p.Elem(), nil
}

// valid asks a struct. A panic is its error: a Watcher asks while the program runs.
func (o *section) valid(v interface{ Validate() error }) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("config: section %q: panic in Validate: %v\n%s", o.name, p, debug.Stack())
		}
	}()
	return v.Validate()
}

// refresh takes the fields without a key as the program has them now.
func (o *section) refresh() {
	now := reflect.New(o.defaults.Type()).Elem()
	now.Set(o.into)
	for i := range now.NumField() {
		if _, ok := now.Type().Field(i).Tag.Lookup("key"); ok {
			now.Field(i).Set(o.defaults.Field(i))
		}
	}
	o.defaults = now
}

// differing are the keys under path that two readings of a section differ in.
func differing(a, b reflect.Value, path string) (keys []string) {
	for i := range a.NumField() {
		key, ok := a.Type().Field(i).Tag.Lookup("key")
		if !ok || reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			continue
		}
		if key = path + "." + key; a.Field(i).Kind() == reflect.Struct {
			keys = append(keys, differing(a.Field(i), b.Field(i), key)...)
		} else {
			keys = append(keys, key)
		}
	}
	return keys
}

// form is what a section may hold, and how else it is said.
type form struct {
	name    string
	schema  *schema
	paths   []string // of all leaves
	aliases map[string]alias
	foreign map[string]string
	java    map[string]string // keys by what is left of them in camel case
	vars    map[string]variable
}

// forms are the client's, which is the first, and those of the application's sections.
func (s *sources) forms() []*form {
	all := []*form{{name: root, schema: known(), aliases: aliases(), foreign: foreign()}}
	for _, o := range s.sections {
		all = append(all, &form{name: o.name, schema: o.schema})
	}
	for _, f := range all {
		f.paths = f.schema.paths("")
	}
	all[0].java = all[0].inCamelCase()
	for _, f := range all {
		f.vars = f.variables()
	}
	return all
}

// under takes the form's name from a path that begins with it.
func (f *form) under(path string) (rest string, mine bool) {
	rest, mine = strings.CutPrefix(path, f.name)
	return strings.TrimPrefix(rest, "."), mine && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// spelledNearly is the application's section that a file without it most likely means by
// the section of path.
func spelledNearly(path string, forms []*form, has map[*form]bool) (name string, ok bool) {
	const slip, shortest = 2, 4
	at, _, below := strings.Cut(path, ".")
	if _, clients := forms[0].schema.keys[at]; clients || !below || len(at) < shortest {
		return "", false
	}
	for _, f := range forms[1:] {
		if !has[f] && nearest.Distance(at, f.name) <= slip {
			return f.name, true
		}
	}
	return "", false
}

// Set says what a key is, over files and the environment, NAMESRV_ADDR included. The key is
// one of a section's, such as "shop.order_timeout", or of the client's, such as
// "rocketmq.name_servers". An empty value is one, too. For flags of package flag see Flag.
func Set(key, value string) Option {
	return set(key, value, "load.Set")
}

func set(key, value, from string) Option {
	return func(s *sources) {
		s.sets = append(s.sets, entry{path: snake(key), spelled: key, v: value, from: from})
	}
}

// Flag defines a flag that sets a key, see Set, when it is given: fs is parsed before Load.
// It takes a value, of a bool too.
//
//	opts := []load.Option{
//		load.Section("shop", &own),
//		load.Flag(flag.CommandLine, "order-timeout", "shop.order_timeout", "how long an order may stay unpaid"),
//		load.Flag(flag.CommandLine, "name-servers", "rocketmq.name_servers", "where RocketMQ is"),
//	}
//	flag.Parse()
//	cfg, err := load.Load(opts...)
func Flag(fs *flag.FlagSet, name, key, usage string) Option {
	var given []Option
	fs.Func(name, usage, func(value string) error {
		given = append(given, set(key, value, "--"+name))
		return nil
	})
	return func(s *sources) {
		for _, set := range given {
			set(s)
		}
	}
}

// snake is a key as flatten has it.
func snake(key string) string { return strings.ToLower(strings.ReplaceAll(key, "-", "_")) }
