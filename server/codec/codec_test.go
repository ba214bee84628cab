package codec

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/encoding"
	standard "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// messages are all messages of the contract.
func messages() []proto.Message {
	var all []proto.Message
	for _, file := range []protoreflect.FileDescriptor{argusv1.File_argus_v1_task_queue_proto, argusv1.File_argus_v1_completion_proto, argusv1.File_argus_v1_admin_proto} {
		for i := range file.Messages().Len() {
			name := file.Messages().Get(i).FullName()
			all = append(all, newMessage(name))
		}
	}
	return all
}

// requests are the messages that clients send.
func requests() []proto.Message {
	return slices.DeleteFunc(messages(), func(m proto.Message) bool {
		return !strings.HasSuffix(string(m.ProtoReflect().Descriptor().Name()), "Request")
	})
}

// fill sets every field of a message, strings to text. Of a oneof it sets member number choice.
func fill(m protoreflect.Message, text string, choice, depth int) {
	if depth > 4 {
		return
	}
	value := func(f protoreflect.FieldDescriptor) protoreflect.Value {
		switch f.Kind() {
		case protoreflect.StringKind:
			return protoreflect.ValueOfString(text)
		case protoreflect.BytesKind:
			return protoreflect.ValueOfBytes([]byte{0xff, 0})
		case protoreflect.BoolKind:
			return protoreflect.ValueOfBool(true)
		case protoreflect.EnumKind:
			return protoreflect.ValueOfEnum(2)
		case protoreflect.Int64Kind:
			return protoreflect.ValueOfInt64(1 << 40)
		case protoreflect.Int32Kind:
			return protoreflect.ValueOfInt32(-7)
		case protoreflect.Uint32Kind:
			return protoreflect.ValueOfUint32(7)
		}
		panic(f.Kind())
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if o := f.ContainingOneof(); o != nil && o.Fields().Get(choice%o.Fields().Len()) != f {
			continue
		}
		switch {
		case f.IsMap():
			key := protoreflect.ValueOfString(text + "key").MapKey()
			m.Mutable(f).Map().Set(key, value(f.MapValue()))
		case f.IsList() && f.Message() != nil:
			for range 2 {
				fill(m.Mutable(f).List().AppendMutable().Message(), text, choice, depth+1)
			}
		case f.IsList():
			m.Mutable(f).List().Append(value(f))
		case f.Message() != nil:
			fill(m.Mutable(f).Message(), text, choice, depth+1)
		default:
			m.Set(f, value(f))
		}
	}
}

// Both codecs encode and decode the same.
func TestSameAsStandard(t *testing.T) {
	t.Parallel()
	ours, theirs := New(), encoding.GetCodecV2(standard.Name)
	for _, m := range messages() {
		for choice := range 12 {
			for _, text := range []string{"", "text", "größer 😀"} {
				proto.Reset(m)
				if text != "" {
					fill(m.ProtoReflect(), text, choice, 0)
				}
				for _, pair := range [][2]encoding.CodecV2{{ours, theirs}, {theirs, ours}, {ours, ours}} {
					data, err := pair[0].Marshal(m)
					if err != nil {
						t.Fatal(err)
					}
					got := m.ProtoReflect().New().Interface()
					if err := pair[1].Unmarshal(data, got); err != nil {
						t.Fatalf("%T: %v", m, err)
					}
					if !proto.Equal(m, got) {
						t.Fatalf("%T: %v became %v", m, m, got)
					}
				}
			}
		}
	}
}

// A string that is not UTF-8 is refused in every place of a request.
func TestText(t *testing.T) {
	t.Parallel()
	ours, theirs := New(), encoding.GetCodecV2(standard.Name)
	refused := 0
	for _, m := range requests() {
		name := m.ProtoReflect().Descriptor().Name()
		for choice := range 12 {
			const mark = "M\x01M"
			proto.Reset(m)
			fill(m.ProtoReflect(), mark, choice, 0)
			whole, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			for at := 0; ; at++ { // one place after the other
				i := bytes.Index(whole[at:], []byte(mark))
				if i < 0 {
					break
				}
				at += i
				bad := bytes.Clone(whole)
				bad[at+1] = 0xff
				data := mem.BufferSlice{mem.SliceBuffer(bad)}
				want := theirs.Unmarshal(data, m.ProtoReflect().New().Interface())
				got := ours.Unmarshal(data, m.ProtoReflect().New().Interface())
				if want == nil || got == nil {
					t.Fatalf("%s, choice %d, byte %d: the standard codec says %v, ours %v", name, choice, at, want, got)
				}
				refused++
			}
		}
	}
	if refused < 100 {
		t.Error("only", refused, "strings were tried")
	}
}

// Arbitrary bytes are an error, or a message whose strings are UTF-8.
func FuzzUnmarshal(f *testing.F) {
	for _, m := range requests() {
		fill(m.ProtoReflect(), "text", 3, 0)
		data, _ := proto.Marshal(m)
		f.Add(data)
	}
	ours := New()
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, m := range requests() {
			if ours.Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, m) != nil {
				continue
			}
			if _, err := proto.Marshal(m); err != nil {
				t.Fatalf("%T: %v", m, err)
			}
		}
	})
}

func newMessage(name protoreflect.FullName) proto.Message {
	t, err := protoregistry.GlobalTypes.FindMessageByName(name)
	if err != nil {
		panic(err)
	}
	return t.New().Interface()
}
