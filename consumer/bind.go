package consumer

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/codec"
)

// BindOption configures Bind.
type BindOption func(*binder)

// Placeholders resolves ${key} and ${key:default} in the tags of a struct, from
// configuration or the environment: os.LookupEnv will do.
func Placeholders(lookup func(key string) (value string, ok bool)) BindOption {
	return func(b *binder) { b.lookup = lookup }
}

// Codecs lets codec tags name codecs other than text, json and raw.
func Codecs(cs ...codec.Codec) BindOption {
	return func(b *binder) { b.codecs = append(b.codecs, cs...) }
}

// Bind registers the handlers of a struct: its fields of type Func[T] and
// BatchFunc[T], as their tags say.
//
//	type PayHandlers struct {
//		Paid   consumer.Func[Payment] `topic:"pay_test_topic" tags:"tag1 || tag2" concurrency:"32" retries:"16"`
//		Refund consumer.Func[Refund]  `topic:"${refund.topic:refunds}" codec:"json" name:"refund" timeout:"1m"`
//	}
//
// topic is required; the others are tags, sql, concurrency, retries (0 dead-letters
// the first failure), codec (text, json, raw or one of Codecs), name (the field's
// own by default), timeout, and for batches batch (the size) and batch_wait. Values may
// have placeholders, see Placeholders.
// A field with topic:"-" is left out. The handlers of embedded structs belong to
// it.
//
// handlers is a struct or a pointer to one. All mistakes are reported at once, as
// a *RegistrationError, by New as well; then nothing is registered.
func Bind(m *Mux, handlers any, opts ...BindOption) error {
	b := &binder{where: fmt.Sprintf("consumer.Bind(%T)", handlers)}
	for _, o := range opts {
		if o != nil {
			o(b)
		}
	}
	v := reflect.ValueOf(handlers)
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	switch {
	case v.Kind() != reflect.Struct:
		b.mistake("it takes a struct of handlers or a pointer to one, not %s", describe(handlers))
	default:
		b.bindStruct(v)
		if len(b.found) == 0 && len(b.mistakes) == 0 {
			b.mistake("the struct has no field of type consumer.Func or consumer.BatchFunc with a topic tag")
		}
	}
	if len(b.mistakes) > 0 {
		err := &RegistrationError{Where: b.where, Mistakes: b.mistakes}
		m.mistakes = append(m.mistakes, err)
		return err
	}
	for _, register := range b.found {
		register(m)
	}
	return nil
}

func describe(v any) string {
	if v == nil {
		return "nil"
	}
	if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && r.IsNil() {
		return fmt.Sprintf("a nil %T", v)
	}
	return fmt.Sprintf("%T", v)
}

// binder reads one struct.
type binder struct {
	where    string
	lookup   func(string) (string, bool)
	codecs   []codec.Codec
	found    []func(*Mux)
	mistakes []error
}

func (b *binder) mistake(format string, args ...any) {
	b.mistakes = append(b.mistakes, fmt.Errorf(format, args...))
}

// bindable is a Func or BatchFunc of any type.
type bindable interface {
	isNil() bool
	handle(m *Mux, topic string, opts []HandlerOption)
}

func (f Func[T]) isNil() bool { return f == nil }

func (f Func[T]) handle(m *Mux, topic string, opts []HandlerOption) { Handle(m, topic, f, opts...) }

func (f BatchFunc[T]) isNil() bool { return f == nil }

func (f BatchFunc[T]) handle(m *Mux, topic string, opts []HandlerOption) {
	HandleBatch(m, topic, f, opts...)
}

func (b *binder) bindStruct(v reflect.Value) {
	bindableType := reflect.TypeFor[bindable]()
	for i := range v.NumField() {
		f, fv := v.Type().Field(i), v.Field(i)
		if f.Anonymous && fv.Kind() == reflect.Struct {
			b.bindStruct(fv)
			continue
		}
		topic, tagged := f.Tag.Lookup("topic")
		switch {
		case topic == "-":
		case f.Type.Implements(bindableType):
			b.bindField(f, fv)
		case f.Anonymous && hasTopics(f.Type):
			b.mistake("field %s: its handlers are behind a pointer; embed the struct itself", f.Name)
		case tagged:
			b.mistake("field %s: it has a topic tag but is a %s; make it a consumer.Func[T] or consumer.BatchFunc[T]", f.Name, f.Type)
		}
	}
}

// hasTopics reports whether t points to a struct with topic tags.
func hasTopics(t reflect.Type) bool {
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return false
	}
	for i := range t.Elem().NumField() {
		if _, ok := t.Elem().Field(i).Tag.Lookup("topic"); ok {
			return true
		}
	}
	return false
}

// bindField reads the tags of one handler.
func (b *binder) bindField(f reflect.StructField, v reflect.Value) {
	if !b.checkGrammar(f) {
		return
	}
	tags, complete := b.tags(f)
	topic := tags["topic"]
	switch _, ok := f.Tag.Lookup("topic"); {
	case !ok:
		b.mistake("field %s: it has no topic tag; add `topic:\"…\"`, or `topic:\"-\"` to leave it out", f.Name)
	case topic == "" && complete:
		b.mistake("field %s: tag topic is empty; name a topic, or write `topic:\"-\"` to leave the field out", f.Name)
	}
	opts := b.options(f.Name, tags)
	if !f.IsExported() {
		b.mistake("field %s: it is not exported, so it cannot be read; write %s", f.Name, exported(f.Name))
		return
	}
	h, _ := v.Interface().(bindable)
	if h.isNil() {
		b.mistake("field %s: the handler function is nil; assign one, or write `topic:\"-\"` to leave the field out", f.Name)
	}
	b.found = append(b.found, func(m *Mux) { h.handle(m, topic, opts) })
}

func exported(name string) string { return strings.ToUpper(name[:1]) + name[1:] }

// tagKeys are the keys that Bind reads.
func tagKeys() []string {
	return []string{"topic", "tags", "sql", "concurrency", "retries", "codec", "name", "timeout", "batch", "batch_wait"}
}

// tags returns the field's tags with placeholders resolved; complete is false
// when one could not be.
func (b *binder) tags(f reflect.StructField) (tags map[string]string, complete bool) {
	tags, complete = make(map[string]string), true
	for _, key := range tagKeys() {
		raw, ok := f.Tag.Lookup(key)
		if !ok {
			continue
		}
		value, err := expand(raw, b.lookup)
		if err != nil {
			b.mistake("field %s: tag %s: %w", f.Name, key, err)
			complete = false
			continue
		}
		tags[key] = strings.TrimSpace(value)
	}
	return tags, complete
}

// options turns tags into handler options.
func (b *binder) options(field string, tags map[string]string) []HandlerOption {
	opts := []HandlerOption{Name(field)}
	if name := tags["name"]; name != "" {
		opts[0] = Name(name)
	}
	if expr, ok := tags["tags"]; ok {
		if _, err := parseTags([]string{expr}); err != nil {
			for _, err := range flatten(err) {
				b.mistake("field %s: %w", field, err)
			}
		}
		opts = append(opts, Tags(expr))
	}
	if expr, ok := tags["sql"]; ok {
		opts = append(opts, SQL(expr))
	}
	if s, ok := tags["concurrency"]; ok {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			b.mistake("field %s: tag concurrency is %q; write a number from 1 on", field, s)
		}
		opts = append(opts, Concurrency(n))
	}
	if s, ok := tags["retries"]; ok {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			b.mistake("field %s: tag retries is %q; write a number from 0 (dead-letter the first failure) on", field, s)
		}
		opts = append(opts, MaxRetries(n))
	}
	if s, ok := tags["timeout"]; ok {
		d, err := time.ParseDuration(s)
		if err != nil || d <= 0 {
			b.mistake("field %s: tag timeout is %q; write a duration such as 30s or 15m", field, s)
		}
		opts = append(opts, Timeout(d))
	}
	if s, ok := tags["codec"]; ok {
		opts = append(opts, Codec(b.codec(field, s)))
	}
	return append(opts, b.batchOptions(field, tags)...)
}

// batchOptions are those of a batch handler.
func (b *binder) batchOptions(field string, tags map[string]string) (opts []HandlerOption) {
	if s, ok := tags["batch"]; ok {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			b.mistake("field %s: tag batch is %q; write a number from 1 on", field, s)
		}
		opts = append(opts, BatchSize(n))
	}
	if s, ok := tags["batch_wait"]; ok {
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 {
			b.mistake("field %s: tag batch_wait is %q; write a duration such as 100ms", field, s)
		}
		opts = append(opts, BatchWait(d))
	}
	return opts
}

func (b *binder) codec(field, name string) codec.Codec {
	for _, c := range b.codecs {
		if c != nil && c.Name() == name {
			return c
		}
	}
	c, err := codec.ByName(name)
	if err != nil {
		b.mistake("field %s: tag codec: %w; others must be given to consumer.Codecs", field, err)
	}
	return c
}

// checkGrammar finds tags that Go would ignore in silence, and keys that look
// like one of Bind's. It is false when the tags cannot be read.
func (b *binder) checkGrammar(f reflect.StructField) bool {
	rest := strings.TrimLeft(string(f.Tag), " ")
	for rest != "" {
		key, value, ok := strings.Cut(rest, ":")
		if !ok || key == "" || strings.ContainsAny(key, " \t\"") || !strings.HasPrefix(value, `"`) {
			b.mistake("field %s: its tag is not in Go's grammar from `%s` on; write key:\"value\" pairs with a space between", f.Name, rest)
			return false
		}
		quoted, err := strconv.QuotedPrefix(value)
		if err != nil {
			b.mistake("field %s: its tag is not in Go's grammar from `%s` on; close the quotes", f.Name, rest)
			return false
		}
		if !slices.Contains(tagKeys(), key) {
			if near := nearest(key); near != "" {
				b.mistake("field %s: tag %s is not known; did you mean %s?", f.Name, key, near)
			}
		}
		rest = strings.TrimLeft(value[len(quoted):], " ")
	}
	return true
}

// nearest returns the key that a mistyped one stands for, "" when it is probably
// another package's.
func nearest(key string) string {
	low := strings.ToLower(key)
	if low == "retry" {
		return "retries"
	}
	for _, known := range tagKeys() {
		if oneEdit(low, known) {
			return known
		}
	}
	return ""
}

// oneEdit reports whether a and b are equal or differ by one character that was
// changed, left out, doubled or swapped with the next.
func oneEdit(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	switch {
	case i == len(a):
		return true // one letter more, or none
	case len(a) < len(b):
		return a[i:] == b[i+1:]
	case a[i+1:] == b[i+1:]:
		return true
	}
	return i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}
