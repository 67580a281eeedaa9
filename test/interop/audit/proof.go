package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

// proofFound is what a proof proves.
type proofFound struct {
	Origin string `json:"origin"`
	Index  uint64 `json:"index"`
	Size   uint64 `json:"size"`
	Record string `json:"record"`
}

// verifyProof reads C2SP tlog-proof: a header, the record, its index, the audit path, an empty line, the checkpoint.
func verifyProof(path, vkey string) (*proofFound, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	head, signed, ok := strings.Cut(string(text), "\n\n")
	if !ok {
		return nil, fmt.Errorf("no checkpoint")
	}
	key, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, err
	}
	c, err := openCheckpoint(signed, note.VerifierList(key))
	if err != nil {
		return nil, err
	}
	split := strings.Split(head, "\n")
	if len(split) < 3 || split[0] != "c2sp.org/tlog-proof@v1" {
		return nil, fmt.Errorf("not a proof: %q", split[0])
	}
	extra, isExtra := strings.CutPrefix(split[1], "extra ")
	number, isIndex := strings.CutPrefix(split[2], "index ")
	if !isExtra || !isIndex {
		return nil, fmt.Errorf("no record or no index")
	}
	record, err := base64.StdEncoding.Strict().DecodeString(extra)
	if err != nil {
		return nil, err
	}
	index, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return nil, err
	}
	var hashes [][]byte
	for _, line := range split[3:] {
		hash, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, hash)
	}
	leaf := rfc6962.DefaultHasher.HashLeaf(record)
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, c.size, leaf, hashes, c.root); err != nil {
		return nil, err
	}
	return &proofFound{Origin: c.origin, Index: index, Size: c.size, Record: string(record)}, nil
}
