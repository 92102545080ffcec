package codec_test

import (
	"encoding/csv"
	"fmt"
	"reflect"
	"strings"

	"github.com/rocketkit/rocketkit/codec"
	"github.com/rocketkit/rocketkit/message"
)

// CSV carries the fields of one line.
type CSV struct{}

func (CSV) Name() string { return "csv" }

func (c CSV) Check(t reflect.Type) error {
	if t != reflect.TypeFor[[]string]() {
		return fmt.Errorf("codec %s: %w: %s is not []string", c.Name(), codec.ErrType, t)
	}
	return nil
}

func (CSV) Encode(v any) ([]byte, error) {
	var b strings.Builder
	w := csv.NewWriter(&b)
	err := w.Write(v.([]string))
	w.Flush()
	return []byte(b.String()), err
}

func (CSV) Decode(body []byte, v any) error {
	fields, err := csv.NewReader(strings.NewReader(string(body))).Read()
	*v.(*[]string) = fields
	return err
}

// A handler takes it by consumer.Codec(CSV{}), or by the tag codec:"csv" of a struct
// that is registered with consumer.Bind and consumer.Codecs(CSV{}).
func ExampleCodec() {
	var c codec.Codec = CSV{}
	body, err := c.Encode([]string{"order 17", "paid"})
	fmt.Printf("%q %v\n", body, err)

	var fields []string
	err = c.Decode(body, &fields)
	fmt.Println(len(fields), fields[0], err)
	fmt.Println(c.Check(reflect.TypeFor[int]()))
	// Output:
	// "order 17,paid\n" <nil>
	// 2 order 17 <nil>
	// codec csv: type does not fit the codec: int is not []string
}

func ExampleByName() {
	c, err := codec.ByName("text")
	fmt.Println(c.Name(), err)
	_, err = codec.ByName("xml")
	fmt.Println(err)
	// Output:
	// text <nil>
	// unknown codec "xml"; known are text, json, raw
}

func ExampleByContentType() {
	c := codec.ByContentType(codec.JSON{}, CSV{}) // all handlers of a group can share it: consumer.NewMux(group, consumer.Codec(c))
	m := message.New("orders", nil)
	err := codec.Encode(c, m, map[string]int{"order": 17})
	fmt.Println(string(m.Body), m.Properties[codec.ContentTypeProperty], err)
	// Output:
	// {"order":17} application/json <nil>
}
