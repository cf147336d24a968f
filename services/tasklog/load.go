package main

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// fields are those of a Config, and of the structs in it, that have a variable.
func fields(config reflect.Value) iter.Seq2[reflect.StructField, reflect.Value] {
	return func(yield func(reflect.StructField, reflect.Value) bool) {
		for field, v := range config.Fields() {
			if field.Tag.Get("env") != "" {
				if !yield(field, v) {
					return
				}
			} else if v.Kind() == reflect.Struct {
				for field, v := range fields(v) {
					if !yield(field, v) {
						return
					}
				}
			}
		}
	}
}

// known are the fields of all Configs that have a variable, with their defaults. One that several Configs have is told once.
func known() iter.Seq2[reflect.StructField, reflect.Value] {
	return func(yield func(reflect.StructField, reflect.Value) bool) {
		told := map[string]bool{}
		for _, c := range configs() {
			for field, v := range fields(reflect.ValueOf(c)) {
				name := field.Tag.Get("env")
				if !told[name] && !yield(field, v) {
					return
				}
				told[name] = true
			}
		}
	}
}

// load reads a Config. The error is one of usage, and names every setting that is wrong.
func load[C any](s settings) (C, error) {
	var c C
	if err := s.fill(reflect.ValueOf(&c).Elem()); err != nil {
		return c, &usageError{err}
	}
	return c, nil
}

// fill sets the fields of a Config that were given.
func (s settings) fill(config reflect.Value) error {
	var wrong []error
	for field, v := range fields(config) {
		if g := s[field.Tag.Get("env")]; g.value != "" {
			wrong = append(wrong, g.into(v, field.Tag))
		}
	}
	return errors.Join(wrong...)
}

// check reads every setting that was given, whoever it is for: so a service tells of a wrong one before it
// waits for its Redis.
func (s settings) check() error {
	var wrong []error
	for field := range known() {
		if g := s[field.Tag.Get("env")]; g.value != "" {
			wrong = append(wrong, g.into(reflect.New(field.Type).Elem(), field.Tag))
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return &usageError{err}
	}
	return nil
}

// into sets the field that was given. To a Config Go's zero means the default, but whoever writes 0 means 0:
// the tag zero has the value by which the field says so, and where there is none a 0 is refused. So is less than 0.
func (g given) into(v reflect.Value, tag reflect.StructTag) error {
	var (
		n    int64
		err  error
		what string
	)
	switch v.Interface().(type) {
	case string:
		v.SetString(g.value)
		return nil
	case []string:
		v.Set(reflect.ValueOf(strings.Split(g.value, ",")))
		return nil
	case bool:
		yes, err := strconv.ParseBool(g.value)
		if err != nil {
			return fmt.Errorf("%s: %q is neither true nor false", g.by, g.value)
		}
		v.SetBool(yes)
		return nil
	case time.Duration:
		var d time.Duration
		d, err = time.ParseDuration(g.value)
		n, what = int64(d), "is no duration"
	default:
		n, err = strconv.ParseInt(g.value, 10, v.Type().Bits())
		what = "is no whole number"
	}
	below := n < 0 // no setting wants that, though the field of some has it for a 0
	if err == nil && n == 0 {
		n, err = strconv.ParseInt(tag.Get("zero"), 10, 64)
		what = "is too little"
	}
	if err == nil && below {
		what = "is too little"
	} else if err == nil {
		v.SetInt(n)
		return nil
	}
	if errors.Is(err, strconv.ErrRange) {
		what = "is out of range"
	}
	return fmt.Errorf("%s: %q %s%s", g.by, g.value, what, example(tag.Get("env")))
}

// example tells the default of a setting. One that has none, such as a bound for what is kept, gets no number from us
// that somebody could take for advice.
func example(variable string) string {
	for field, usual := range known() {
		switch {
		case field.Tag.Get("env") != variable:
		case !usual.IsZero():
			return fmt.Sprintf("; want one such as %v", usual)
		case field.Type == reflect.TypeFor[time.Duration]():
			return "; want a number with a unit: ms, s, m or h"
		}
	}
	return ""
}
