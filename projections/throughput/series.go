package throughput

import "time"

// Series is what happened in a window, slot by slot.
type Series struct {
	Step  time.Duration // of a slot
	Slots []Slot        // oldest first, also those in which nothing happened
}

// Slot is what happened in some time. The last one of a series is still under way.
type Slot struct {
	At time.Time // when it began, UTC
	Counts
}

// Total adds the slots.
func (s Series) Total() (sum Counts) {
	for _, slot := range s.Slots {
		sum.Add(slot.Counts)
	}
	return sum
}

// names are the fields of a series, oldest first: of the shortest slots that are kept for the window.
type names struct {
	rung   rung
	first  int64 // slot
	fields []string
}

func namesOf(queue string, window time.Duration, now time.Time) names {
	i := 0
	for i < len(ladder)-1 && (ladder[i].kept < window || ladder[i].all && queue != "") {
		i++
	}
	n := names{rung: ladder[i]}
	last := n.rung.slot(now.UnixMilli())
	count := int64((window + n.rung.step - 1) / n.rung.step)
	n.first = last + 1 - min(max(count, 1), n.rung.slots())
	for slot := n.first; slot <= last; slot++ {
		n.fields = append(n.fields, field(i, slot, queue))
	}
	return n
}

// Needs returns the fields that Series looks at: 168 at the most.
func Needs(queue string, window time.Duration, now time.Time) []string {
	return namesOf(queue, window, now).fields
}

// Series returns what happened in a queue, or in all of them where it is empty, in the window that ends now.
// A window longer than MaxWindow is cut, and each is rounded up to whole slots.
func (v *View) Series(queue string, window time.Duration, now time.Time) Series {
	v.settle()
	n := namesOf(queue, window, now)
	s := Series{Step: n.rung.step}
	for i, f := range n.fields {
		slot := Slot{At: time.UnixMilli((n.first + int64(i)) * n.rung.step.Milliseconds()).UTC()}
		if c := v.Get(f); c != nil {
			slot.Add(*c)
		}
		s.Slots = append(s.Slots, slot)
	}
	return s
}
