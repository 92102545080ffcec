package protocol

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// DataVersion dates a table: a broker raises it with each change.
type DataVersion struct {
	Counter      int64 `json:"counter"`
	StateVersion int64 `json:"stateVersion"` // controller's epoch, 0 without one
	Timestamp    int64 `json:"timestamp"`    // ms since 1970
}

// RegisterBrokerBody is the body of code 103 (REGISTER_BROKER): a broker's
// topics. It travels as JSON or, when the header says compressed, as Apache's
// own form inside zlib:
//
//	int32 + data version as JSON
//	int32 number of topics, each int32 + "name read write perm filterType[ attributes]"
//	int32 + filter servers as JSON
//	int32 number of queue mappings, each int32 + JSON      from 5.0.0
type RegisterBrokerBody struct {
	Topics        TopicConfigTable `json:"topicConfigSerializeWrapper"`
	FilterServers []string         `json:"filterServerList,omitempty"`
}

// TopicConfigTable is a broker's topics with their version. The mappings are
// 5.x's static topics; they are passed through as they are.
type TopicConfigTable struct {
	DataVersion        DataVersion                `json:"dataVersion"`
	MappingDataVersion *DataVersion               `json:"mappingDataVersion,omitempty"`
	Configs            map[string]TopicConfig     `json:"topicConfigTable,omitempty"` // by topic
	MappingDetails     map[string]json.RawMessage `json:"topicQueueMappingDetailMap,omitempty"`
	Mappings           map[string]json.RawMessage `json:"topicQueueMappingInfoMap,omitempty"`
}

// EncodeRegisterBrokerBody renders b. version is what the frame that carries it
// claims: it decides what the compressed form holds.
func EncodeRegisterBrokerBody(b *RegisterBrokerBody, compressed bool, version int32) ([]byte, error) {
	if !compressed {
		return EncodeBody(b)
	}
	parts, err := registerParts(b, version)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	z, err := zlib.NewWriterLevel(&out, zlib.BestCompression)
	if err != nil {
		return nil, fmt.Errorf("encode RegisterBrokerBody: %w", err)
	}
	if _, err := z.Write(parts); err != nil {
		return nil, fmt.Errorf("encode RegisterBrokerBody: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("encode RegisterBrokerBody: %w", err)
	}
	return out.Bytes(), nil
}

func registerParts(b *RegisterBrokerBody, version int32) ([]byte, error) {
	be := binary.BigEndian
	var dst []byte
	add := func(v any) error {
		j, err := EncodeBody(v)
		if err != nil {
			return err
		}
		dst = append(be.AppendUint32(dst, uint32(len(j))), j...)
		return nil
	}
	if err := add(b.Topics.DataVersion); err != nil {
		return nil, err
	}
	dst = be.AppendUint32(dst, uint32(len(b.Topics.Configs)))
	for _, name := range sortedKeys(b.Topics.Configs) {
		c := b.Topics.Configs[name]
		text, err := c.text(version >= VersionV5_0_0)
		if err != nil {
			return nil, err
		}
		dst = append(be.AppendUint32(dst, uint32(len(text))), text...)
	}
	servers := b.FilterServers
	if servers == nil {
		servers = []string{}
	}
	if err := add(servers); err != nil {
		return nil, err
	}
	if version < VersionV5_0_0 {
		return dst, nil
	}
	dst = be.AppendUint32(dst, uint32(len(b.Topics.Mappings)))
	for _, name := range sortedKeys(b.Topics.Mappings) {
		if err := add(b.Topics.Mappings[name]); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// text is Java's TopicConfig.encode. It holds neither the order flag nor the
// system flag.
func (c *TopicConfig) text(attributes bool) (string, error) {
	s := fmt.Sprintf("%s %d %d %d %s", c.TopicName, c.ReadQueueNums, c.WriteQueueNums, c.Perm, c.TopicFilterType)
	if strings.Count(s, " ") != 4 || c.TopicName == "" || c.TopicFilterType == "" {
		return "", fmt.Errorf("encode topic %q: its name and filter type %q must not be empty or hold spaces", c.TopicName, c.TopicFilterType)
	}
	if !attributes {
		return s, nil
	}
	attrs := c.Attributes
	if attrs == nil {
		attrs = map[string]string{}
	}
	j, err := EncodeBody(attrs)
	if err != nil {
		return "", err
	}
	return s + " " + string(j), nil
}

// parse reads what text wrote. As in Java, attributes that hold a space are lost.
func (c *TopicConfig) parse(s string) error {
	p := strings.SplitN(s, " ", 7)
	if len(p) < 5 || p[0] == "" || p[4] == "" {
		return fmt.Errorf("%w: topic config %.64q, want at least name, read and write queues, permissions and filter type", ErrMalformedBody, s)
	}
	*c = TopicConfig{TopicName: p[0], TopicFilterType: p[4]}
	for i, dst := range []*int32{&c.ReadQueueNums, &c.WriteQueueNums, &c.Perm} {
		n, err := strconv.ParseInt(p[1+i], 10, 32)
		if err != nil {
			return fmt.Errorf("%w: topic config %.64q, part %d: want a 32-bit integer", ErrMalformedBody, s, 2+i)
		}
		*dst = int32(n)
	}
	if len(p) > 5 && json.Unmarshal([]byte(p[5]), &c.Attributes) != nil {
		c.Attributes = nil
	}
	return nil
}

// DecodeRegisterBrokerBody reads a registration. compressed is the header's
// flag, version the frame's. What inflates beyond MaxFrameSize is refused.
func DecodeRegisterBrokerBody(data []byte, compressed bool, version int32) (*RegisterBrokerBody, error) {
	b := new(RegisterBrokerBody)
	if !compressed {
		if len(data) == 0 {
			return b, nil // Apache's brokers may register without topics
		}
		if err := DecodeBody(data, b); err != nil {
			return nil, err
		}
		return b, nil
	}
	parts, err := inflate(data, MaxFrameSize)
	if err != nil {
		return nil, fmt.Errorf("decode RegisterBrokerBody: %w", err)
	}
	if err := b.decodeParts(parts, version); err != nil {
		return nil, fmt.Errorf("decode RegisterBrokerBody: %w", err)
	}
	return b, nil
}

func inflate(data []byte, limit int) ([]byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformedBody, err)
	}
	var out bytes.Buffer
	n, err := out.ReadFrom(io.LimitReader(z, int64(limit)+1))
	if err = errors.Join(err, z.Close()); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformedBody, err)
	}
	if n > int64(limit) {
		return nil, fmt.Errorf("%w: inflates beyond %d bytes", ErrMalformedBody, limit)
	}
	return out.Bytes(), nil
}

func (b *RegisterBrokerBody) decodeParts(parts []byte, version int32) error {
	d := recordDecoder{b: parts}
	part := func() []byte { return d.take(int(int32(d.uint32()))) }
	if err := b.decodeJSONPart(part(), &b.Topics.DataVersion); err != nil {
		return err
	}
	n := int(int32(d.uint32()))
	if n < 0 {
		return fmt.Errorf("%w: %d topics", ErrMalformedBody, n)
	}
	for range n {
		var c TopicConfig
		if err := c.parse(string(part())); err != nil {
			return err
		}
		if b.Topics.Configs == nil {
			b.Topics.Configs = make(map[string]TopicConfig)
		}
		b.Topics.Configs[c.TopicName] = c
	}
	if err := b.decodeJSONPart(part(), &b.FilterServers); err != nil {
		return err
	}
	if version >= VersionV5_0_0 && !d.bad {
		if err := b.decodeMappings(&d); err != nil {
			return err
		}
	}
	if d.bad {
		return fmt.Errorf("%w: it ends early", ErrMalformedBody)
	}
	return nil
}

func (b *RegisterBrokerBody) decodeMappings(d *recordDecoder) error {
	n := int(int32(d.uint32()))
	if n < 0 {
		return fmt.Errorf("%w: %d queue mappings", ErrMalformedBody, n)
	}
	for range n {
		raw := d.take(int(int32(d.uint32())))
		var m struct {
			Topic string `json:"topic"`
		}
		std, err := NormalizeJSON(raw)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(std, &m); err != nil {
			return fmt.Errorf("%w: queue mapping: %w", ErrMalformedBody, err)
		}
		if b.Topics.Mappings == nil {
			b.Topics.Mappings = make(map[string]json.RawMessage)
		}
		b.Topics.Mappings[m.Topic] = json.RawMessage(std)
	}
	return nil
}

func (b *RegisterBrokerBody) decodeJSONPart(part []byte, v any) error {
	if part == nil {
		return fmt.Errorf("%w: it ends early", ErrMalformedBody)
	}
	return DecodeBody(part, v)
}
