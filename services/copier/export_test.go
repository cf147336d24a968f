package copier

// SetSizes lets so many entries be read at once, and brought into the copy at once, until undo is called.
func SetSizes(page, round int) (undo func()) {
	p, r := maxPage, maxRound
	maxPage, maxRound = page, round
	return func() { maxPage, maxRound = p, r }
}
