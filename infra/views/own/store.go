package own

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/projections"
)

// Store keeps the own views of a log. Its methods may be called from many goroutines.
//
// An error of a method that writes means unknown: load the view again and go on from there.
type Store struct {
	log *eventlog.Log
	rdb redis.UniversalClient
}

// New returns the own views of a log.
func New(log *eventlog.Log) *Store { return &Store{log: log, rdb: log.Conn().View} }

// ErrMoved reports that another keeper stored the view, or is about to. Nothing was stored.
var ErrMoved = errors.New("another keeper moved the view")

// ErrUnusable reports that there is no stored view, or a broken one. A keeper makes it with Begin.
var ErrUnusable = errors.New("no usable view is stored")

// ErrNone is the ErrUnusable of a view that nobody has kept yet.
var ErrNone = fmt.Errorf("%w: none", ErrUnusable)

// VersionError reports that a view is served in a greater version than a program knows.
type VersionError struct {
	View   string
	Served int // the version that is served
	Own    int // that of the program
}

// Error says what to do.
func (e *VersionError) Error() string {
	return fmt.Sprintf("view %s is served in version %d, and this program has version %d: "+
		"stop this one, or, to go back to what it does, give it a version of more than %d", e.View, e.Served, e.Own, e.Served)
}

// Kept is one version of a view.
type Kept struct {
	Name    string
	Version int
}

// String is as people write it, and as keys end.
func (k Kept) String() string { return k.Name + ":" + strconv.Itoa(k.Version) }

// names is what a view may be called.
var names = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)

// Validate returns an *events.FieldError unless there can be such a version of an own view.
func (k Kept) Validate() error {
	if !names.MatchString(k.Name) {
		return &events.FieldError{Field: "name of the view", Reason: fmt.Sprintf("%q is not a letter a-z and then at most 63 of a-z, 0-9 and -", k.Name)}
	}
	if slices.ContainsFunc(views.BuiltIn(), func(v projections.View) bool { return v.Name() == k.Name }) {
		return &events.FieldError{Field: "name of the view", Reason: fmt.Sprintf("%q is a view that every log has: choose another name", k.Name)}
	}
	if k.Version < 1 {
		return &events.FieldError{Field: "version of view " + k.Name, Reason: fmt.Sprintf("%d is less than 1", k.Version)}
	}
	return nil
}

const readerPrefix = "view:"

// reader is the name of a version among the readers of a partition.
func (k Kept) reader() string { return readerPrefix + k.String() }

// parseReader returns the version that has a name among the readers.
func parseReader(reader string) (Kept, bool) {
	word, ok := strings.CutPrefix(reader, readerPrefix)
	name, version, _ := strings.Cut(word, ":")
	n, err := strconv.Atoi(version)
	return Kept{name, n}, ok && err == nil
}

// viewKey is the key that says which version of a view is served.
func viewKey(p eventlog.Partition, name string) string { return p.View("own:" + name) }

// keys are those of a version in a partition, as every script here takes them.
type keys struct{ view, lease, head, readers, fields string }

func (k Kept) keys(p eventlog.Partition) keys {
	fields := p.View("own:" + k.String())
	return keys{viewKey(p, k.Name), fields + ":lease", fields + ":head", p.Readers, fields}
}

func (k keys) list() []string { return []string{k.view, k.lease, k.head, k.readers, k.fields} }

// Head is what is known of a stored version in a partition.
type Head struct {
	Generation int64     // tells it before and after a new beginning apart
	Checkpoint events.ID // everything up to here is in the view
	Read       int64     // entries folded or skipped since the beginning
	Skipped    int64     // of these, entries that are no events
	Missed     int64     // entries that were removed from the log before they were read
}

// headFields are the fields of head, in the order in which parseHead takes them.
var headFields = []string{"generation", "checkpoint", "read", "skipped", "missed"}

func parseHead(values []any) (h Head, err error) {
	var s [5]string
	for i := range min(len(values), len(s)) {
		s[i], _ = values[i].(string)
	}
	if s[0] == "" {
		return h, ErrNone
	}
	if h.Checkpoint, err = events.ParseID(s[1]); err != nil {
		return h, fmt.Errorf("%w: checkpoint: %w", ErrUnusable, err)
	}
	for i, dst := range map[int]*int64{0: &h.Generation, 2: &h.Read, 3: &h.Skipped, 4: &h.Missed} {
		if *dst, err = strconv.ParseInt(s[i], 10, 64); err != nil {
			return h, fmt.Errorf("%w: %s %q: %w", ErrUnusable, headFields[i], s[i], err)
		}
	}
	return h, nil
}

// Claim returns the version of a view that is served. Where none is, it is this one from now on.
func (s *Store) Claim(ctx context.Context, k Kept) (int, error) {
	key := viewKey(s.log.Partitions()[0], k.Name)
	if err := s.rdb.HSetNX(ctx, key, "version", k.Version).Err(); err != nil {
		return 0, fmt.Errorf("serve view %s: %w", k, err)
	}
	return s.Served(ctx, k.Name)
}

// Served returns the version of a view that is served; 0 where nobody has kept one.
func (s *Store) Served(ctx context.Context, name string) (int, error) {
	key := viewKey(s.log.Partitions()[0], name)
	n, err := s.rdb.HGet(ctx, key, "version").Int()
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, fmt.Errorf("read which version of view %s is served: %s: %w", name, key, err)
	}
	return n, nil
}

// Lease takes or extends the lease of a version in a partition, for ttl from now. While another keeper holds it,
// Lease returns how long that has still to run, and 0 otherwise.
func (s *Store) Lease(ctx context.Context, p eventlog.Partition, k Kept, keeper string, ttl time.Duration) (time.Duration, error) {
	left, err := views.Hold(ctx, s.rdb, k.keys(p).lease, keeper, ttl)
	if err != nil {
		return 0, fmt.Errorf("lease view %s of partition %d: %w", k, p.N, err)
	}
	return left, nil
}

//go:embed begin.lua
var beginSource string

var beginScript = redis.NewScript(beginSource)

// Begin throws away what there is of a version in a partition and starts it at the beginning of the log, with an
// empty view. The keeper must hold the lease, else it returns ErrMoved; a *VersionError says that the version
// is over.
func (s *Store) Begin(ctx context.Context, p eventlog.Partition, k Kept, keeper string, ttl time.Duration, empty projections.View) (*Fold, error) {
	answer, err := beginScript.Run(ctx, s.rdb, k.keys(p).list(), keeper, ttl.Milliseconds(), k.Version, k.reader()).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("begin view %s of partition %d: %w", k, p.N, err)
	}
	switch answer[0] {
	case "over":
		return nil, k.over(answer[1])
	case "held":
		return nil, fmt.Errorf("begin view %s of partition %d: %w", k, p.N, ErrMoved)
	}
	f := newFold(p, k, empty)
	if f.Generation, err = strconv.ParseInt(answer[1], 10, 64); err != nil {
		return nil, fmt.Errorf("begin view %s of partition %d: %w", k, p.N, err)
	}
	return f, nil
}

// over is why a version cannot be stored any more.
func (k Kept) over(served string) error {
	n, _ := strconv.Atoi(served) // our scripts write integers
	return &VersionError{View: k.Name, Served: n, Own: k.Version}
}

// Load reads a stored version of a partition into an empty view. It returns ErrUnusable when it must be begun.
func (s *Store) Load(ctx context.Context, p eventlog.Partition, k Kept, empty projections.View) (*Fold, error) {
	var head *redis.SliceCmd
	var fields *redis.MapStringStringCmd
	_, err := eventlog.Together(ctx, s.rdb, func(tx redis.Pipeliner) error {
		head = tx.HMGet(ctx, k.keys(p).head, headFields...)
		fields = tx.HGetAll(ctx, k.keys(p).fields)
		return nil
	})
	f := newFold(p, k, empty)
	if err == nil {
		f.Head, err = parseHead(head.Val())
	}
	if err := unusable(err); err != nil {
		return nil, fmt.Errorf("load view %s of partition %d: %w", k, p.N, err)
	}
	if panicked := f.guarded(func() { err = empty.Load(fields.Val()) }); panicked != nil {
		return nil, panicked
	}
	if err != nil {
		return nil, fmt.Errorf("load view %s of partition %d: %w: %w", k, p.N, ErrUnusable, err)
	}
	f.stored = f.Checkpoint
	return f, nil
}

// unusable makes an error that says that a key is not what we wrote an ErrUnusable.
func unusable(err error) error {
	if err != nil && strings.Contains(err.Error(), "WRONGTYPE") {
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	return err
}

//go:embed save.lua
var saveSource string

var saveScript = redis.NewScript(saveSource)

// Save stores a view and its checkpoint in one step, and extends the lease of the keeper. It returns ErrMoved when another keeper got there first, and a *VersionError when the
// version is over. After any error f is of no use: load it again.
func (s *Store) Save(ctx context.Context, f *Fold, keeper string, ttl time.Duration) error {
	if err := f.collect(); err != nil {
		return err
	}
	var set, gone []any
	for field, value := range f.changed {
		if value == nil {
			gone = append(gone, field)
		} else {
			set = append(set, field, value)
		}
	}
	args := []any{
		keeper, ttl.Milliseconds(), f.kept.Version, f.kept.reader(), f.Generation, f.stored.String(), f.Checkpoint.String(),
		f.Read, f.Skipped, f.Missed, len(set),
	}
	answer, err := saveScript.Run(ctx, s.rdb, f.kept.keys(f.part).list(), slices.Concat(args, set, gone)...).Text()
	if err != nil {
		return fmt.Errorf("save view %s of partition %d at %s: %w", f.kept, f.part.N, f.Checkpoint, unusable(err))
	}
	if served, over := strings.CutPrefix(answer, "over "); over {
		return f.kept.over(served)
	}
	if answer != "ok" {
		return fmt.Errorf("save view %s of partition %d at %s: %w: %s", f.kept, f.part.N, f.Checkpoint, ErrMoved, answer)
	}
	f.told()
	return nil
}
