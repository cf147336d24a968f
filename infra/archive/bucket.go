package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	_ "gocloud.dev/blob/memblob" // mem://, for tests
	"gocloud.dev/gcerrors"
)

// bucket stores whole objects under names.
type bucket struct {
	*blob.Bucket
	dir string // of a bucket of files; else ""
}

// errExists reports that an object of this name was there before.
var errExists = errors.New("it exists")

// errGone reports that somebody else, who cleans up, has taken away what was not finished.
var errGone = errors.New("another archiver removed it")

// openBucket opens a bucket by its URL; a plain path is a folder. With create it makes the folder.
func openBucket(ctx context.Context, at string, create bool) (*bucket, error) {
	if at == "" {
		return nil, errors.New("an archive needs a folder, or a URL such as s3://bucket")
	}
	dir := at
	if strings.Contains(at, "://") {
		u, err := url.Parse(at)
		if err != nil {
			return nil, fmt.Errorf("archive: %w", err)
		}
		if u.Scheme != fileblob.Scheme {
			b, err := blob.OpenBucket(ctx, at)
			if err != nil {
				return nil, fmt.Errorf("archive %s: %w", u.Redacted(), err)
			}
			return &bucket{Bucket: b}, nil
		}
		if dir = u.Path; u.Host == "." {
			dir = strings.TrimPrefix(dir, "/")
		}
		if u.Host != "" && u.Host != "." && u.Host != "localhost" || u.RawQuery != "" || dir == "" {
			return nil, fmt.Errorf("archive %s: want file:///path or a path, and nothing after it", u.Redacted())
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	b, err := fileblob.OpenBucket(dir, &fileblob.Options{
		CreateDir: create, DirFileMode: 0o700, NoTempDir: true, Metadata: fileblob.MetadataDontWrite,
	})
	if err != nil {
		return nil, fmt.Errorf("archive %s: %w", at, err)
	}
	return &bucket{b, dir}, nil
}

// list returns the names of the objects in a folder, in order, without the folder.
func (b *bucket) list(ctx context.Context, folder string) ([]string, error) {
	return b.names(ctx, folder, false)
}

// folders returns the names of the folders in a folder, in order, without that.
func (b *bucket) folders(ctx context.Context, folder string) ([]string, error) {
	return b.names(ctx, folder, true)
}

func (b *bucket) names(ctx context.Context, folder string, folders bool) ([]string, error) {
	var names []string
	if b.dir != "" { // the driver's own list fails when a file goes away meanwhile
		files, err := os.ReadDir(b.path(folder))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("list: %w", err)
		}
		for _, f := range files {
			if f.IsDir() == folders {
				names = append(names, f.Name())
			}
		}
		return names, nil
	}
	for it := b.List(&blob.ListOptions{Prefix: folder + "/", Delimiter: "/"}); ; {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", folder, err)
		}
		if o.IsDir == folders {
			names = append(names, strings.TrimSuffix(strings.TrimPrefix(o.Key, folder+"/"), "/"))
		}
	}
}

// get reads an object of at most so many bytes. One that has more is returned with one byte too many.
func (b *bucket) get(ctx context.Context, name string, most int64) ([]byte, error) {
	r, err := b.NewReader(ctx, name, nil)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	return data, errors.Join(err, r.Close())
}

// put stores an object under a name that says what is in it. It is written under another name, read back
// and judged, and only then there: it is never there in part. One that is there, and the same, stays.
func (b *bucket) put(ctx context.Context, name string, data []byte, judge func(data []byte) error) error {
	for try := 0; ; try++ {
		err := b.has(ctx, name, data)
		if err == nil {
			return nil
		}
		if err = b.tryPut(ctx, name, data, judge); err == nil || !errors.Is(err, errGone) || try == 5 {
			return err
		}
	}
}

// has returns nil when an object is there and the same.
func (b *bucket) has(ctx context.Context, name string, data []byte) error {
	have, err := b.get(ctx, name, int64(len(data)))
	if err == nil && !bytes.Equal(have, data) {
		return errors.New("it reads back otherwise than it was written")
	}
	return err
}

func (b *bucket) tryPut(ctx context.Context, name string, data []byte, judge func(data []byte) error) error {
	temporary, err := b.write(ctx, name, data)
	if err != nil {
		return err
	}
	back, err := b.get(ctx, temporary, int64(len(data)))
	if err == nil && !bytes.Equal(back, data) {
		err = errors.New("it reads back otherwise than it was written")
	}
	if err == nil {
		err = judge(back)
	}
	if err != nil {
		return gone(fmt.Errorf("check %s: %w", temporary, err))
	}
	if b.dir != "" {
		if err := os.Rename(b.path(temporary), b.path(name)); err != nil {
			return gone(err)
		}
		return b.sync(name)
	}
	if err := b.Copy(ctx, name, temporary, nil); err != nil {
		return gone(fmt.Errorf("copy %s to %s: %w", temporary, name, err))
	}
	return b.remove(ctx, temporary)
}

// create stores an object that must not be there yet, whole or not at all. It returns errExists when it is.
func (b *bucket) create(ctx context.Context, name string, data []byte) error {
	if b.dir == "" {
		w, err := b.NewWriter(ctx, name, &blob.WriterOptions{ContentType: "application/json", IfNotExist: true})
		if err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		_, err = w.Write(data)
		if err = errors.Join(err, w.Close()); gcerrors.Code(err) == gcerrors.FailedPrecondition {
			return errExists
		} else if err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		return nil
	}
	for try := 0; ; try++ {
		temporary, err := b.write(ctx, name, data)
		if err == nil {
			err = gone(os.Link(b.path(temporary), b.path(name))) // unlike a rename it replaces nothing
		}
		switch {
		case errors.Is(err, fs.ErrExist):
			return errors.Join(errExists, b.remove(ctx, temporary))
		case errors.Is(err, errGone) && try < 5:
			continue
		case err != nil:
			return err
		}
		return errors.Join(b.sync(name), b.remove(ctx, temporary))
	}
}

// write stores an object under the temporary name that belongs to a name and what is in it.
func (b *bucket) write(ctx context.Context, name string, data []byte) (string, error) {
	folder, base := filepath.Split(name)
	temporary := folder + "tmp-" + sum(data)[:16] + "-" + base
	w, err := b.NewWriter(ctx, temporary, &blob.WriterOptions{
		ContentType: "application/octet-stream",
		BeforeWrite: func(as func(any) bool) error {
			var f *os.File
			if as(&f) {
				return f.Chmod(0o600)
			}
			return nil
		},
	})
	if err != nil {
		return "", fmt.Errorf("write %s: %w", temporary, err)
	}
	_, err = w.Write(data)
	if err = errors.Join(err, w.Close()); err != nil {
		return "", gone(fmt.Errorf("write %s: %w", temporary, err))
	}
	if b.dir == "" {
		return temporary, nil
	}
	return temporary, gone(b.sync(temporary))
}

// gone adds errGone to an error that says that there is no such object.
func gone(err error) error {
	if err != nil && (errors.Is(err, fs.ErrNotExist) || gcerrors.Code(err) == gcerrors.NotFound) {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return err
}

// remove deletes an object that may be gone.
func (b *bucket) remove(ctx context.Context, name string) error {
	if err := b.Delete(ctx, name); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// path is where a bucket of files has an object: names are made so that none is escaped.
func (b *bucket) path(name string) string { return filepath.Join(b.dir, filepath.FromSlash(name)) }

// sync waits until the disk has a file, its name, and the folders that lead to it.
func (b *bucket) sync(name string) error {
	for at := b.path(name); ; at = filepath.Dir(at) {
		f, err := os.Open(at)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("sync %s: %w", at, err)
		}
		if at == b.dir {
			return nil
		}
	}
}
