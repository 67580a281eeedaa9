package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// logFound is what was verified of a log.
type logFound struct {
	Origin      string `json:"origin"`
	ID          string `json:"id"`
	Records     uint64 `json:"records"`
	Covered     uint64 `json:"covered"`
	Checkpoints int    `json:"checkpoints"`
	Keys        int    `json:"keys"`
}

// verifyLog goes through the records once; each checkpoint must be signed by a key that a record below it endorses, and
// be for the tree of the records below it.
func verifyLog(directory, rootsPath string) (*logFound, error) {
	roots, err := readRoots(rootsPath)
	if err != nil {
		return nil, err
	}
	notes, err := readNotes(filepath.Join(directory, "checkpoints"))
	if err != nil {
		return nil, err
	}
	segments, err := filepath.Glob(filepath.Join(directory, "*.jsonl"))
	if err != nil {
		return nil, err
	}
	sort.Strings(segments)
	found := &logFound{Checkpoints: len(notes)}
	t := newTree()
	var keys []note.Verifier
	// Meets the checkpoints that are for as many records as there are now.
	meet := func() error {
		for len(notes) > 0 && claimedSize(notes[0]) == t.size() {
			c, err := openCheckpoint(notes[0], note.VerifierList(keys...))
			if err != nil {
				return fmt.Errorf("after %d records: %w", t.size(), err)
			}
			root, err := t.root()
			if err != nil {
				return err
			}
			if !bytes.Equal(root, c.root) || c.origin != found.Origin {
				return fmt.Errorf("the checkpoint for %d records of %q is for another tree", c.size, c.origin)
			}
			found.Covered = c.size
			notes = notes[1:]
		}
		return nil
	}
	for _, segment := range segments {
		text, err := os.ReadFile(segment)
		if err != nil {
			return nil, err
		}
		for scanner := lines(bytes.NewReader(text)); scanner.Scan(); {
			r, err := readEndorsement(scanner.Bytes())
			if err != nil {
				return nil, fmt.Errorf("record %d: %w", t.size(), err)
			}
			if r != nil {
				key, id, err := r.verify(t.size(), roots)
				if err != nil {
					return nil, fmt.Errorf("record %d: %w", t.size(), err)
				}
				if found.Origin == "" {
					found.Origin, found.ID = key.Name(), id
				}
				if key.Name() != found.Origin || id != found.ID {
					return nil, fmt.Errorf("record %d is of another log", t.size())
				}
				if !known(keys, key) {
					keys = append(keys, key)
				}
				found.Keys++
			}
			if err := t.append(scanner.Bytes()); err != nil {
				return nil, err
			}
			if err := meet(); err != nil {
				return nil, err
			}
		}
	}
	found.Records = t.size()
	if len(notes) > 0 {
		return nil, fmt.Errorf("%d checkpoints are for more than the %d records", len(notes), t.size())
	}
	return found, nil
}

// claimedSize is what a note says before it is verified; 0 when it says nothing of the kind.
func claimedSize(signed string) uint64 {
	size, _ := strconv.ParseUint(strings.Split(signed, "\n")[1], 10, 64)
	return size
}

func known(keys []note.Verifier, key note.Verifier) bool {
	for _, k := range keys {
		if k.Name() == key.Name() && k.KeyHash() == key.KeyHash() {
			return true
		}
	}
	return false
}

// readNotes splits the file of checkpoints: each note has five lines.
func readNotes(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	split := strings.SplitAfter(string(text), "\n")
	split = split[:len(split)-1]
	if len(split)%5 != 0 {
		return nil, fmt.Errorf("%d lines of checkpoints", len(split))
	}
	var notes []string
	for ; len(split) > 0; split = split[5:] {
		notes = append(notes, strings.Join(split[:5], ""))
	}
	return notes, nil
}
