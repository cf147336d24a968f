package projections

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"
)

// Fields is the state of a view: values by field, and which of them changed. The zero Fields is empty
// and ready to use. V is encoded as JSON.
type Fields[V any] struct {
	values  map[string]*V
	changed map[string]bool
}

// Get returns the value of a field, or nil. It is not to be changed.
func (f *Fields[V]) Get(field string) *V { return f.values[field] }

// Len returns the number of fields.
func (f *Fields[V]) Len() int { return len(f.values) }

// All yields every field in the order of names.
func (f *Fields[V]) All() iter.Seq2[string, *V] {
	return func(yield func(string, *V) bool) {
		for _, field := range slices.Sorted(maps.Keys(f.values)) {
			if !yield(field, f.values[field]) {
				return
			}
		}
	}
}

// Touch returns the value of a field to be changed, a zero one if it is new.
func (f *Fields[V]) Touch(field string) *V {
	v := f.values[field]
	if v == nil {
		if f.values == nil {
			f.values = make(map[string]*V)
		}
		v = new(V)
		f.values[field] = v
	}
	if !f.changed[field] {
		if f.changed == nil {
			f.changed = make(map[string]bool)
		}
		f.changed[field] = true
	}
	return v
}

// Delete removes a field.
func (f *Fields[V]) Delete(field string) {
	if f.values[field] == nil {
		return
	}
	delete(f.values, field)
	if f.changed == nil {
		f.changed = make(map[string]bool)
	}
	f.changed[field] = true
}

// Changed implements View. It panics on a value that is no JSON, which is a mistake in the type V.
func (f *Fields[V]) Changed() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		changed := slices.Sorted(maps.Keys(f.changed))
		clear(f.changed)
		for _, field := range changed {
			var data []byte
			if v := f.values[field]; v != nil {
				var err error
				if data, err = json.Marshal(v); err != nil {
					panic(fmt.Sprintf("field %q cannot be stored: %v", field, err))
				}
			}
			if !yield(field, data) {
				return
			}
		}
	}
}

// Load implements View.
func (f *Fields[V]) Load(fields map[string]string) error {
	values := make(map[string]*V, len(fields))
	for field, data := range fields {
		v := new(V)
		if err := json.Unmarshal([]byte(data), v); err != nil {
			return fmt.Errorf("field %q: %w", field, err)
		}
		values[field] = v
	}
	f.values, f.changed = values, nil
	return nil
}
