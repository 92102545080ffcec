package protocol

// OptInt64 is a number that a header may leave out.
type OptInt64 struct {
	Value int64
	Set   bool
}

// SomeInt64 is an OptInt64 that is set.
func SomeInt64(v int64) OptInt64 { return OptInt64{v, true} }

// OptBool is a flag that a header may leave out.
type OptBool struct {
	Value bool
	Set   bool
}

// SomeBool is an OptBool that is set.
func SomeBool(v bool) OptBool { return OptBool{v, true} }

// OptInt32 writes the field when it is set.
func (w *FieldWriter) OptInt32(key string, v OptInt32) {
	if v.Set {
		w.Int(key, int64(v.Value))
	}
}

// OptInt64 writes the field when it is set.
func (w *FieldWriter) OptInt64(key string, v OptInt64) {
	if v.Set {
		w.Int(key, v.Value)
	}
}

// OptBool writes the field when it is set.
func (w *FieldWriter) OptBool(key string, v OptBool) {
	if v.Set {
		w.Bool(key, v.Value)
	}
}

// fieldReader reads a header's fields by name and keeps the first error. An
// empty number counts as absent: the binary codec cannot tell the two apart,
// and Java reads a string of length 0 as null.
type fieldReader struct {
	fields Fields
	err    error
}

func (r *fieldReader) missing(key, want string) {
	if r.err == nil {
		r.err = &FieldError{Field: key, Want: want}
	}
}

// name reads a string that must be there and not be empty.
func (r *fieldReader) name(key string) string {
	v := r.fields.Value(key)
	if v == "" {
		r.missing(key, "a name")
	}
	return v
}

// str reads a string that may be absent.
func (r *fieldReader) str(key string) string { return r.fields.Value(key) }

func (r *fieldReader) optInt64(key string) OptInt64 {
	v := r.fields.Value(key)
	if v == "" {
		return OptInt64{}
	}
	n, err := Field{key, v}.ParseInt64()
	if err != nil {
		if r.err == nil {
			r.err = err
		}
		return OptInt64{}
	}
	return SomeInt64(n)
}

func (r *fieldReader) optInt32(key string) OptInt32 {
	v := r.fields.Value(key)
	if v == "" {
		return OptInt32{}
	}
	n, err := Field{key, v}.ParseInt32()
	if err != nil {
		if r.err == nil {
			r.err = err
		}
		return OptInt32{}
	}
	return SomeInt32(n)
}

func (r *fieldReader) int64(key string) int64 {
	v := r.optInt64(key)
	if !v.Set {
		r.missing(key, "a 64-bit integer")
	}
	return v.Value
}

func (r *fieldReader) int32(key string) int32 {
	v := r.optInt32(key)
	if !v.Set {
		r.missing(key, "a 32-bit integer")
	}
	return v.Value
}

func (r *fieldReader) optBool(key string) OptBool {
	v := r.fields.Value(key)
	if v == "" {
		return OptBool{}
	}
	return SomeBool(Field{key, v}.ParseBool())
}

func (r *fieldReader) bool(key string) bool { return r.optBool(key).Value }
