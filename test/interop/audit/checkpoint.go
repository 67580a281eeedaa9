package main

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// checkpoint is what a signed note of C2SP tlog-checkpoint says.
type checkpoint struct {
	origin string
	size   uint64
	root   []byte
}

// openCheckpoint verifies a note by the keys given and reads it.
func openCheckpoint(signed string, keys note.Verifiers) (*checkpoint, error) {
	n, err := note.Open([]byte(signed), keys)
	if err != nil {
		return nil, err
	}
	text := strings.Split(n.Text, "\n")
	if len(text) < 4 {
		return nil, fmt.Errorf("a checkpoint of %d lines", len(text))
	}
	size, err := strconv.ParseUint(text[1], 10, 64)
	if err != nil {
		return nil, err
	}
	root, err := base64.StdEncoding.Strict().DecodeString(text[2])
	if err != nil {
		return nil, err
	}
	if n.Sigs[0].Name != text[0] {
		return nil, fmt.Errorf("%q is signed by %q", text[0], n.Sigs[0].Name)
	}
	return &checkpoint{origin: text[0], size: size, root: root}, nil
}
