package main

import (
	"slices"
	"testing"
)

func TestTheSameWorkIsMeasuredOnEachNode(t *testing.T) {
	b := small()
	one, err := b.scale(t.Context(), false, 1)
	if err != nil {
		t.Fatal(err)
	}
	three, err := b.scale(t.Context(), true, 3)
	if err != nil {
		t.Fatal(err)
	}
	if len(one.NodeMicros) != 1 || len(three.NodeMicros) != 3 {
		t.Fatalf("%+v, %+v", one, three)
	}
	if slices.Min(three.NodeMicros) < three.RedisMicros/10 {
		t.Errorf("the partitions lie on one node: %v", three.NodeMicros)
	}
	if slices.Max(three.NodeMicros) > three.RedisMicros/2 || one.NodeMicros[0] != one.RedisMicros || one.TasksPerSec <= 0 || one.ClientMicros <= 0 {
		t.Errorf("%+v, %+v", one, three)
	}
}
