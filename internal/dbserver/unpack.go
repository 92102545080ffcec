package dbserver

import (
	"archive/zip"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// binaries returns the folder with a server's binaries, which it fills the first time. It
// does so beside it: of two runs that do the same the first is taken.
func (k Kind) binaries(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "rocketkit", k.folder())
	if isDir(dir) {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	temp, err := os.MkdirTemp(filepath.Dir(dir), ".dbserver-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	jars, to := filepath.Join(temp, "jars"), filepath.Join(temp, "unpacked")
	cmd := exec.CommandContext(ctx, "mvn", "-q", "-B", "dependency:copy", "-Dartifact="+k.artifact, "-DoutputDirectory="+jars)
	cmd.Dir = temp // no pom.xml of others
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mvn for %s: %w\n%s", k.artifact, err, out)
	}
	names, err := filepath.Glob(filepath.Join(jars, "*.jar"))
	if err != nil || len(names) != 1 {
		return "", fmt.Errorf("mvn for %s: it left %q (%w)", k.artifact, names, err)
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		return "", err
	}
	if err := k.unjar(ctx, names[0], to); err != nil {
		return "", fmt.Errorf("unpack %s: %w", k.artifact, err)
	}
	if err := os.Rename(to, dir); err != nil && !isDir(dir) {
		return "", err
	}
	return dir, nil
}

// folder is the name of the binaries' folder.
func (k Kind) folder() string {
	return strings.ReplaceAll(k.artifact[strings.IndexByte(k.artifact, ':')+1:], ":", "-")
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// unjar unpacks what the server needs of its jar.
func (k Kind) unjar(ctx context.Context, jar, to string) error {
	z, err := zip.OpenReader(jar)
	if err != nil {
		return err
	}
	defer z.Close()
	found := 0
	for _, f := range z.File {
		name, ok := k.wanted(f.Name)
		if !ok || f.FileInfo().IsDir() {
			continue
		}
		found++
		if err := unpackFile(ctx, f, to, name); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	if found == 0 {
		return fmt.Errorf("%s has nothing of the server", jar)
	}
	return nil
}

// unpackFile unpacks a tar file into a folder, and writes any other under its name there.
func unpackFile(ctx context.Context, f *zip.File, to, name string) error {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	if strings.HasSuffix(name, ".txz") {
		cmd := exec.CommandContext(ctx, "tar", "-xJf", "-", "-C", to)
		cmd.Stdin = r
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("tar: %w\n%s", err, out)
		}
		return nil
	}
	if !filepath.IsLocal(name) {
		return fmt.Errorf("%q leaves its folder", name)
	}
	path := filepath.Join(to, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	w, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755) // a jar keeps no modes
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	return w.Close()
}
