package consumer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/internal/setting"
	"github.com/rocketkit/rocketkit/message"
)

// BindOption configures Bind.
type BindOption interface{ applyBind(*texts) }

// TextOption says what the texts of a registration mean. NewMux takes it for all of its
// handlers, Bind for those of a struct.
type TextOption interface {
	GroupOption
	BindOption
}

// Placeholders resolves ${key} and ${key:default} in the tags of Bind, in the strings of
// a Listener and in Setting, from configuration or the environment: os.LookupEnv will
// do, and config/load's Lookup reads both.
func Placeholders(lookup func(key string) (value string, ok bool)) TextOption {
	return textOption(func(t *texts) { t.lookup = lookup })
}

// Codecs lets codec tags, and Setting, name codecs other than those of codec.ByName.
func Codecs(cs ...codec.Codec) TextOption {
	return textOption(func(t *texts) { t.codecs = append(slices.Clip(t.codecs), cs...) })
}

// Setting is a handler option by the key of its struct tag, with its value as text that
// may have placeholders; see Bind for both. The topic is not among them.
//
//	consumer.Handle(mux, "orders", onPaid, consumer.Setting("concurrency", "${pay.concurrency:32}"))
func Setting(key, text string) HandlerOption {
	return handlerOption(func(o *handlerOptions) { o.settings = append(o.settings, keyText{key, text}) })
}

// keyText is a Setting that has not been read.
type keyText struct{ key, text string }

// texts is what texts mean.
type texts struct {
	lookup setting.Lookup
	codecs []codec.Codec
}

type textOption func(*texts)

func (f textOption) applyGroup(o *groupOptions) { f(&o.texts) }
func (f textOption) applyBind(t *texts)         { f(t) }

// texts are those of the options that the Mux was made with.
func (m *Mux) texts() texts {
	var o groupOptions
	for _, opt := range m.opts {
		if opt != nil {
			opt.applyGroup(&o)
		}
	}
	return o.texts
}

// option reads a setting, the topic excepted. Its placeholders have been resolved.
func (t *texts) option(key, text string) (HandlerOption, error) {
	v, err := setting.Parse(key, text)
	if err != nil {
		return nil, err
	}
	switch key {
	case setting.Tags:
		return Tags(v.Text), nil
	case setting.SQL:
		return SQL(v.Text), nil
	case setting.Concurrency:
		return Concurrency(v.Int), nil
	case setting.Retries:
		return MaxRetries(v.Int), nil
	case setting.Codec:
		c, err := t.codec(v.Text)
		return Codec(c), err
	case setting.Name:
		return Name(v.Text), nil
	case setting.Timeout:
		return Timeout(v.Duration), nil
	case setting.Batch:
		return BatchSize(v.Int), nil
	case setting.BatchWait:
		return BatchWait(v.Duration), nil
	case setting.RateLimit:
		return RateLimit(v.Float), nil
	case setting.KillSwitch:
		return KillSwitch(KillSwitchSettings(v.Switch)), nil
	}
	return nil, unknownSetting(key)
}

func unknownSetting(key string) error {
	if remedy := setting.Remedy(key); remedy != "" && key != setting.Topic {
		return fmt.Errorf("is not known; %s", remedy)
	}
	keys := slices.DeleteFunc(setting.Keys(), func(k string) bool { return k == setting.Topic })
	return fmt.Errorf("is not known; known are %s", strings.Join(keys, ", "))
}

func (t *texts) codec(name string) (codec.Codec, error) {
	for _, c := range t.codecs {
		if c != nil && c.Name() == name {
			return c, nil
		}
	}
	c, err := codec.ByName(name)
	if err != nil {
		return nil, fmt.Errorf("names an %w; others must be given to consumer.Codecs", err)
	}
	return c, nil
}

// read applies the Settings that an option has brought, and returns what is wrong with them.
func (p *plan) read(e *entry) (errs []error) {
	settings := e.settings
	e.settings = nil
	for _, s := range settings {
		text, err := setting.Expand(s.text, p.opts.texts.lookup)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.key, err))
			continue
		}
		o, err := p.opts.texts.option(s.key, text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %w", s.key, err))
			continue
		}
		o.applyHandler(&e.handlerOptions)
	}
	return errs
}

// resolveTopic reads a topic that may have placeholders.
func (p *plan) resolveTopic(e *entry) error {
	if !e.expand {
		return nil
	}
	topic, err := setting.Expand(e.topic, p.opts.texts.lookup)
	if err != nil {
		e.unresolved = true
		return fmt.Errorf("topic: %w", err)
	}
	e.topic = topic
	return nil
}

// DeadLetters is HandleDLQ as a plain value, for Mux.Add. The zero value of every field
// but Handle is the default.
type DeadLetters struct {
	Name        string // see Name; it may have placeholders
	Concurrency int    // see Concurrency
	Options     []HandlerOption
	Handle      Func[*message.Delivery]
}

func (l DeadLetters) register(m *Mux) {
	HandleDLQ(m, l.Handle, append(named(l.Name, l.Concurrency), l.Options...)...)
}

// named are the options that all plain values have.
func named(name string, concurrency int) []HandlerOption {
	opts := make([]HandlerOption, 0, 12)
	if name != "" {
		opts = append(opts, Setting(setting.Name, name))
	}
	if concurrency != 0 {
		opts = append(opts, Concurrency(concurrency))
	}
	return opts
}
