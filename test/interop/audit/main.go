// Verifies an audit log of agent-spiffe with the tools of others: golang.org/x/mod/sumdb/note for the signed
// checkpoints, github.com/transparency-dev/merkle for the tree and the proofs, crypto/x509 for the SVIDs. It shares no
// code with what wrote the log.
//
//	audit log <directory> <roots.pem>    every checkpoint, against every record below it, and every endorsed key
//	audit proof <proof> <vkey>           a proof in the form of C2SP tlog-proof
//	audit roots                          reads lines from standard input, prints the root of the tree at each size
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("give a command: log, proof or roots"))
	}
	var found any
	var err error
	switch command, args := os.Args[1], os.Args[2:]; {
	case command == "log" && len(args) == 2:
		found, err = verifyLog(args[0], args[1])
	case command == "proof" && len(args) == 2:
		found, err = verifyProof(args[0], args[1])
	case command == "roots" && len(args) == 0:
		found, err = rootsOf(os.Stdin)
	default:
		err = fmt.Errorf("no such command: %v", os.Args[1:])
	}
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
