package events

// MaxDepth is how deeply arrays and objects of a payload or a result may be nested.
const MaxDepth = 512

// Depth returns how deeply arrays and objects are nested in valid JSON. What is nested deeper than
// MaxDepth must not come into the log: bodies wrap it, and decoders have a limit.
func Depth(value []byte) (deepest int) {
	level, inString, escaped := 0, false, false
	for _, b := range value {
		switch {
		case escaped:
			escaped = false
		case inString:
			escaped, inString = b == '\\', b != '"'
		case b == '"':
			inString = true
		case b == '{' || b == '[':
			level++
			deepest = max(deepest, level)
		case b == '}' || b == ']':
			level--
		}
	}
	return deepest
}
