package codec

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// The fast path checks the UTF-8 of each text field that a task has: a field that is added later too.
func TestEveryTextFieldOfATaskIsChecked(t *testing.T) {
	t.Parallel()
	invalid := protoreflect.ValueOfString("\xff")
	fields := (&argusv1.Task{}).ProtoReflect().Descriptor().Fields()
	texts := 0
	for i := range fields.Len() {
		field, task := fields.Get(i), &argusv1.Task{JobId: "job"}
		message := task.ProtoReflect()
		switch {
		case field.IsMap() && field.MapKey().Kind() == protoreflect.StringKind:
			value := message.NewField(field).Map().NewValue()
			if field.MapValue().Kind() == protoreflect.StringKind {
				value = protoreflect.ValueOfString("x")
			}
			message.Mutable(field).Map().Set(invalid.MapKey(), value)
		case field.IsList() && field.Kind() == protoreflect.StringKind:
			message.Mutable(field).List().Append(invalid)
		case field.Kind() == protoreflect.StringKind:
			message.Set(field, invalid)
		default:
			continue
		}
		if texts++; isTask(task) {
			t.Errorf("a task whose %s is not UTF-8 passes; add the field to isTask", field.Name())
		}
	}
	if texts < 7 {
		t.Errorf("found %d text fields, want all of them", texts)
	}
}
