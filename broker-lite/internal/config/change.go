package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrFixed refuses a change that nobody may make (configBlackList).
var ErrFixed = errors.New("the key cannot be changed by a request")

// fixedKeys are those that Apache's brokers refuse to change.
func fixedKeys() []string { return []string{"configBlackList", "brokerConfigPath"} }

// Change returns what c becomes with the keys of a properties text set, all or none,
// while the broker runs; c stays as it is. Unlike Apache, which takes any key without
// a word and acts on few, it refuses keys that broker-lite does not have and those
// that need a restart. The error wraps ErrFixed, or joins what is wrong.
func (c *Config) Change(text string) (changed Config, props []Property, err error) {
	changed = *c
	props, errs := ParseProperties(text)
	all := keys()
	for i, p := range props {
		value := strings.TrimSpace(p.Value)
		at := slices.IndexFunc(all, func(k key) bool { return k.name == p.Key || k.alias != "" && k.alias == p.Key })
		switch {
		case slices.Contains(fixedKeys(), p.Key):
			return *c, nil, ErrFixed
		case at < 0 && onlyApache(p.Key):
			errs = append(errs, fmt.Errorf("%s: only Apache RocketMQ has this key", p.Key))
			continue
		case at < 0:
			errs = append(errs, &KeyError{Key: p.Key, Value: value, Nearest: nearestKey(p.Key)})
			continue
		case !all[at].live && all[at].get(c) != value:
			errs = append(errs, fmt.Errorf("%s needs a restart: set it in broker.conf and start the broker anew (it is %q now)", p.Key, all[at].get(c)))
			continue
		}
		if err := all[at].set(&changed, value); err != nil {
			errs = append(errs, &KeyError{Key: p.Key, Value: value, Want: err.Error()})
		}
		props[i].Key, props[i].Value = all[at].name, value
	}
	if len(errs) == 0 {
		_, err := changed.Validate()
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return *c, nil, err
	}
	return changed, props, nil
}

// Edit returns a broker.conf's text in which the keys of props have their values: what
// it said of them before is gone, everything else stays as it was.
func Edit(text string, props []Property) string {
	names := map[string]bool{}
	for _, k := range keys() {
		if slices.ContainsFunc(props, func(p Property) bool { return p.Key == k.name }) {
			names[k.name] = true
			names[k.alias] = k.alias != ""
		}
	}
	var b strings.Builder
	bom := ""
	if strings.HasPrefix(text, "\ufeff") {
		bom, text = text[:3], text[3:]
	}
	b.WriteString(bom)
	raw, logical := lineReader{text: text}, lineReader{text: text}
	keep := func(upTo int, kept bool) { // natural lines
		for raw.line < upTo {
			rest := raw.text
			if _, ok := raw.natural(); !ok {
				return
			}
			if kept {
				b.WriteString(rest[:len(rest)-len(raw.text)])
			}
		}
	}
	for {
		line, number, more := logical.next()
		if !more {
			break
		}
		keep(number-1, true)
		name, _ := splitEntry(line)
		key, err := unescape(name)
		keep(logical.line, err != nil || !names[key])
	}
	keep(logical.line, true) // comments
	kept := strings.TrimPrefix(b.String(), bom)
	if kept != "" && !strings.HasSuffix(kept, "\n") {
		b.WriteByte('\n')
	}
	if continues(strings.TrimRight(kept, "\r\n")) { // the last line would take the next one
		b.WriteByte('\n')
	}
	written := map[string]bool{}
	for _, p := range slices.Backward(props) { // the last of a key counts
		if !written[p.Key] {
			written[p.Key] = true
			b.WriteString(p.Key + "=" + EscapeValue(p.Value) + "\n")
		}
	}
	return b.String()
}
