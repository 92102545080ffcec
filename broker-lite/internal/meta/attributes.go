package meta

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// attribute is one that a topic may have (TopicAttributes, 5.x).
type attribute struct {
	name       string
	changeable bool
	values     []string // that broker-lite supports
	refused    []string // that only Apache's brokers support
}

func topicAttributes() []attribute {
	return []attribute{
		{name: "message.type", changeable: true, values: []string{"UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "TRANSACTION", "MIXED", "PRIORITY", "LITE"}},
		{name: "queue.type", values: []string{"SimpleCQ"}, refused: []string{"BatchCQ"}},
		{name: "cleanup.policy", values: []string{"DELETE"}, refused: []string{"COMPACTION"}},
	}
}

// attributeChange sets a value, or removes the attribute.
type attributeChange struct {
	name, value string
	remove      bool
}

// parseAttributes reads "+key1=value1,-key2" (AttributeParser).
func parseAttributes(s string) ([]attributeChange, error) {
	if s == "" {
		return nil, nil
	}
	var changes []attributeChange
	for part := range strings.SplitSeq(s, ",") {
		key, value, set := strings.Cut(part, "=")
		sign, name := "", ""
		if key != "" {
			sign, name = key[:1], key[1:]
		}
		switch {
		case set && sign != "+":
			return nil, fmt.Errorf("add/alter attribute format is wrong: %s", key)
		case !set && sign != "-":
			return nil, fmt.Errorf("delete attribute format is wrong: %s", key)
		case name == "" || strings.ContainsAny(name, "+-"):
			return nil, fmt.Errorf("kv string format wrong: %s", part)
		case slices.ContainsFunc(changes, func(c attributeChange) bool { return c.name == name }):
			return nil, fmt.Errorf("alter duplication key. key: %s", name)
		}
		changes = append(changes, attributeChange{name: name, value: value, remove: !set})
	}
	return changes, nil
}

// alterAttributes applies changes to what a topic has, in a new map, by the
// rules of AttributeUtil.
func alterAttributes(current map[string]string, changes []attributeChange, create bool) (map[string]string, error) {
	if len(changes) == 0 {
		return current, nil
	}
	after := maps.Clone(current)
	if after == nil {
		after = map[string]string{}
	}
	for _, c := range changes {
		_, has := current[c.name]
		switch {
		case create && c.remove:
			return nil, fmt.Errorf("only add attribute is supported while creating topic. key: %s", c.name)
		case c.remove && !has:
			return nil, fmt.Errorf("attempt to delete a nonexistent key: %s", c.name)
		}
		if err := c.check(create); err != nil {
			return nil, err
		}
		if c.remove {
			delete(after, c.name)
		} else {
			after[c.name] = c.value
		}
	}
	return after, nil
}

func (c attributeChange) check(create bool) error {
	for _, a := range topicAttributes() {
		switch {
		case a.name != c.name:
			continue
		case !create && !a.changeable:
			return fmt.Errorf("attempt to update an unchangeable attribute. key: %s", c.name)
		case c.remove || slices.Contains(a.values, c.value):
			return nil
		case slices.Contains(a.refused, c.value):
			return fmt.Errorf("%s=%s is not supported by broker-lite; use Apache RocketMQ for it", c.name, c.value)
		}
		return fmt.Errorf("value is not in set: %s: %s, want one of %s", c.name, c.value, strings.Join(a.values, ", "))
	}
	return fmt.Errorf("unsupported key: %s", c.name)
}
