package consumer

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/rocketkit/rocketkit/internal/setting"
	"github.com/rocketkit/rocketkit/message"
)

// Bind registers the handlers of a struct: its fields of type Func[T] and
// BatchFunc[T], as their tags say.
//
//	type PayHandlers struct {
//		Paid   consumer.Func[Payment] `topic:"pay_test_topic" tags:"tag1 || tag2" concurrency:"32" retries:"16"`
//		Refund consumer.Func[Refund]  `topic:"${refund.topic:refunds}" codec:"json" name:"refund" timeout:"1m"`
//		Dead   consumer.Func[*message.Delivery] `dlq:"true"`
//	}
//
// topic is required, or dlq:"true" for the group's dead letters (see HandleDLQ). The
// others are
//
//	tags         "paid || refunded"; see Tags
//	sql          "amount > 10", instead of tags; see SQL
//	concurrency  "32"; see Concurrency
//	retries      "16"; "0" dead-letters the first failure; see MaxRetries
//	codec        "text", "json", "raw" or another's name; see Codecs
//	timeout      "1m"; see Timeout
//	batch        "32", the size, of a BatchFunc; see BatchSize
//	batch_wait   "100ms"; see BatchWait
//	rate_limit   "100", messages a second; see RateLimit
//	kill_switch  "on", or some of "ratio=0.5 at_least=20 window=1m pause_for=1m"; see KillSwitch
//	name         the field's own by default; see Name
//
// Values may have placeholders, see Placeholders. A retry policy is code, and order and
// model are the group's: give those to NewMux. A field with topic:"-" is left out. The
// handlers of embedded structs belong to it.
//
// handlers is a struct or a pointer to one. All mistakes are reported at once, as
// a *RegistrationError, by New as well; then nothing is registered.
func Bind(m *Mux, handlers any, opts ...BindOption) error {
	b := &binder{where: fmt.Sprintf("consumer.Bind(%T)", handlers), texts: m.texts()}
	for _, o := range opts {
		if o != nil {
			o.applyBind(&b.texts)
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
	texts
	where    string
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
		topic, tagged := f.Tag.Lookup(setting.Topic)
		_, dead := f.Tag.Lookup(tagDLQ)
		switch {
		case topic == "-":
		case f.Type.Implements(bindableType):
			b.bindField(f, fv)
		case f.Anonymous && hasTopics(f.Type):
			b.mistake("field %s: its handlers are behind a pointer; embed the struct itself", f.Name)
		case tagged, dead:
			b.mistake("field %s: it has a topic or dlq tag but is a %s; make it a consumer.Func[T] or consumer.BatchFunc[T]", f.Name, f.Type)
		}
	}
}

// hasTopics reports whether t points to a struct with topic tags.
func hasTopics(t reflect.Type) bool {
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return false
	}
	for i := range t.Elem().NumField() {
		if _, ok := t.Elem().Field(i).Tag.Lookup(setting.Topic); ok {
			return true
		}
	}
	return false
}

// bindField reads the tags of one handler.
func (b *binder) bindField(f reflect.StructField, v reflect.Value) {
	keys, ok := b.checkGrammar(f)
	if !ok {
		return
	}
	opts := []HandlerOption{Name(f.Name)}
	topic, dead := "", false
	for _, key := range keys {
		text, err := setting.Expand(f.Tag.Get(key), b.lookup)
		if err != nil {
			b.mistake("field %s: tag %s: %w", f.Name, key, err)
			continue
		}
		switch text = strings.TrimSpace(text); {
		case key == setting.Topic:
			if topic = text; topic == "" {
				b.mistake("field %s: tag topic is empty; name a topic, or write `topic:\"-\"` to leave the field out", f.Name)
			}
		case key == tagDLQ:
			if dead = true; text != "true" {
				b.mistake("field %s: tag dlq is %q; write `dlq:\"true\"` for the handler of the group's dead letters, or leave it out", f.Name, text)
			}
		default:
			opts = append(opts, b.bindOption(f.Name, key, text))
		}
	}
	if !f.IsExported() {
		b.mistake("field %s: it is not exported, so it cannot be read; write %s", f.Name, exported(f.Name))
		return
	}
	h, _ := v.Interface().(bindable)
	if h.isNil() {
		b.mistake("field %s: the handler function is nil; assign one, or write `topic:\"-\"` to leave the field out", f.Name)
	}
	b.found = append(b.found, b.registrar(f, h, topic, dead, opts))
}

// registrar checks what a handler takes, and registers it later.
func (b *binder) registrar(f reflect.StructField, h bindable, topic string, dead bool, opts []HandlerOption) func(*Mux) {
	if !dead {
		return func(m *Mux) { h.handle(m, topic, opts) }
	}
	raw, ok := h.(Func[*message.Delivery])
	if !ok {
		b.mistake("field %s: it has a dlq tag but is a %s; make it a consumer.Func[*message.Delivery], since dead letters are of all kinds", f.Name, f.Type)
	}
	if topic != "" {
		b.mistake("field %s: it has tags topic and dlq; dead letters are of all topics of the group: remove one", f.Name)
	}
	return func(m *Mux) { HandleDLQ(m, raw, opts...) }
}

func exported(name string) string { return strings.ToUpper(name[:1]) + name[1:] }

// bindOption reads the value of one tag.
func (b *binder) bindOption(field, key, text string) HandlerOption {
	if key == setting.Name && text == "" {
		return Name(field)
	}
	if key == setting.Tags {
		if _, err := setting.ParseTags([]string{text}); err != nil {
			for _, err := range flatten(err) {
				b.mistake("field %s: %w", field, err)
			}
		}
	}
	o, err := b.option(key, text)
	if err != nil {
		b.mistake("field %s: tag %s %w", field, key, err)
	}
	return o
}

// tagDLQ is a key that only tags have.
const tagDLQ = "dlq"

// checkGrammar returns the keys of a field's tags that are Bind's, in their order. It
// finds tags that Go would ignore in silence, and keys that look like one of Bind's. ok
// is false when the tags cannot be read.
func (b *binder) checkGrammar(f reflect.StructField) (keys []string, ok bool) {
	rest := strings.TrimLeft(string(f.Tag), " ")
	remedies := 0
	for rest != "" {
		key, value, found := strings.Cut(rest, ":")
		if !found || key == "" || strings.ContainsAny(key, " \t\"") || !strings.HasPrefix(value, `"`) {
			b.mistake("field %s: its tag is not in Go's grammar from `%s` on; write key:\"value\" pairs with a space between", f.Name, rest)
			return nil, false
		}
		quoted, err := strconv.QuotedPrefix(value)
		if err != nil {
			b.mistake("field %s: its tag is not in Go's grammar from `%s` on; close the quotes", f.Name, rest)
			return nil, false
		}
		switch {
		case slices.Contains(keys, key):
			b.mistake("field %s: it has the tag %s twice; Go reads the first only: remove one", f.Name, key)
		case key == tagDLQ, slices.Contains(setting.Keys(), key):
			keys = append(keys, key)
		default:
			if remedy := setting.Remedy(key, tagDLQ); remedy != "" {
				b.mistake("field %s: tag %s is not known; %s", f.Name, key, remedy)
				remedies++
			}
		}
		rest = strings.TrimLeft(value[len(quoted):], " ")
	}
	if !slices.Contains(keys, setting.Topic) && !slices.Contains(keys, tagDLQ) && remedies == 0 {
		b.mistake("field %s: it has no topic tag; add `topic:\"…\"`, or `topic:\"-\"` to leave it out", f.Name)
	}
	return keys, true
}
