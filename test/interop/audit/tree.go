package main

import (
	"bufio"
	"encoding/hex"
	"io"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
)

// tree is the Merkle tree of RFC 6962 over entries that come one after another.
type tree struct {
	rng *compact.Range
}

func newTree() *tree {
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	return &tree{rng: factory.NewEmptyRange(0)}
}

func (t *tree) size() uint64 { return t.rng.End() }

func (t *tree) append(entry []byte) error {
	return t.rng.Append(rfc6962.DefaultHasher.HashLeaf(entry), nil)
}

func (t *tree) root() ([]byte, error) {
	if t.size() == 0 {
		return rfc6962.DefaultHasher.EmptyRoot(), nil
	}
	return t.rng.GetRootHash(nil)
}

// lines splits at newlines, whatever the length.
func lines(in io.Reader) *bufio.Scanner {
	scanner := bufio.NewScanner(in)
	scanner.Buffer(make([]byte, 1<<20), 1<<20)
	return scanner
}

func rootsOf(in io.Reader) ([]string, error) {
	t := newTree()
	var roots []string
	for scanner := lines(in); ; {
		root, err := t.root()
		if err != nil {
			return nil, err
		}
		roots = append(roots, hex.EncodeToString(root))
		if !scanner.Scan() {
			return roots, scanner.Err()
		}
		if err := t.append(scanner.Bytes()); err != nil {
			return nil, err
		}
	}
}
