package protocol

import (
	"bytes"
	"testing"
)

// The golden signatures of Apache's client are held by broker-lite/internal/acl.

func frameSigned(t *testing.T, e *Encoder, s *Signer, codec Codec) []byte {
	t.Helper()
	h := SendRequest{Code: SendMessageV2, ProducerGroup: "g", Topic: "orders", QueueID: 3, BornTimestamp: 1700000000000, Properties: []byte("TAGS\x01\"a\"\x02")}
	cmd := Command{Codec: codec, Code: SendMessageV2, Version: ClientVersion, Fields: Fields{{"empty", ""}}}
	frame, err := e.AppendSigned(nil, &cmd, &h, s, []byte("bo"), []byte("dy"))
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

func encodeSigned(t *testing.T, e *Encoder, s *Signer, codec Codec) Command {
	t.Helper()
	var got Command
	if err := DecodeFrame(frameSigned(t, e, s, codec), &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestBothCodecsCarryOneSignature(t *testing.T) {
	t.Parallel()
	var e Encoder
	s := NewSigner("service", "secret-of-it", "token")
	inJSON, inBinary := encodeSigned(t, &e, s, JSON), encodeSigned(t, &e, s, Binary)
	want := inJSON.Fields.Value("Signature")
	if got := inBinary.Fields.Value("Signature"); len(want) != 28 || got != want {
		t.Errorf("JSON %q, binary %q", want, got)
	}
	if inBinary.Fields.Value("AccessKey") != "service" || inBinary.Fields.Value("SecurityToken") != "token" {
		t.Errorf("fields %v", inBinary.Fields)
	}
	if other := encodeSigned(t, &e, NewSigner("service", "secret-of-others", "token"), JSON); other.Fields.Value("Signature") == want {
		t.Error("the secret key makes no difference")
	}
}

// Java would read null, and sign that as a word.
func TestEmptyValuesAreNotWrittenIntoSignedBinaryHeaders(t *testing.T) {
	t.Parallel()
	var e Encoder
	s := NewSigner("service", "secret-of-it", "")
	for codec, want := range map[Codec]bool{JSON: true, Binary: false} {
		if frame := frameSigned(t, &e, s, codec); bytes.Contains(frame, []byte("empty")) != want {
			t.Errorf("%s: %q", codec, frame)
		}
	}
}

func TestAnEncoderThatHasSignedSignsNothingElse(t *testing.T) {
	t.Parallel()
	var e Encoder
	encodeSigned(t, &e, NewSigner("service", "secret-of-it", ""), Binary)
	for i, f := range encodeSigned(t, &e, nil, Binary).Fields {
		if f.Key == "Signature" || f.Key == "AccessKey" {
			t.Errorf("field %d: %v", i, f)
		}
	}
	if len(e.w.notes.fields) > 0 && e.w.notes.fields[0].key != "" {
		t.Error("the encoder holds on to a request")
	}
}
