package rebuilder

// SetReadPage lets so many entries be read at once, until undo is called.
func SetReadPage(n int) (undo func()) {
	before := readPage
	readPage = n
	return func() { readPage = before }
}
