package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// record is what is looked at in a record of the log about itself.
type record struct {
	Metadata struct {
		EventCode string `json:"event_code"`
		Sequence  uint64 `json:"sequence"`
	} `json:"metadata"`
	Time     int64 `json:"time"`
	Unmapped struct {
		Endorsement *endorsement `json:"endorsement"`
	} `json:"unmapped"`
}

// endorsement says, signed by the key of an X.509-SVID, that a key signs this log from this record on.
type endorsement struct {
	Algorithm string   `json:"algorithm"`
	Key       string   `json:"key"`
	Origin    string   `json:"origin"`
	Signature string   `json:"signature"`
	SVID      []string `json:"svid"`
}

// readEndorsement gives nil for a record of another kind.
func readEndorsement(line []byte) (*record, error) {
	var r record
	if err := json.Unmarshal(line, &r); err != nil {
		return nil, err
	}
	if r.Metadata.EventCode != "log.key" {
		return nil, nil
	}
	if r.Unmapped.Endorsement == nil {
		return nil, errors.New("a record of a log key without its endorsement")
	}
	return &r, nil
}

// verify checks the SVID against the roots, and the signature by it; gives the key and the SPIFFE ID.
func (r *record) verify(index uint64, roots *x509.CertPool) (note.Verifier, string, error) {
	e := r.Unmapped.Endorsement
	chain, err := decodeChain(e.SVID)
	if err != nil {
		return nil, "", err
	}
	leaf := chain[0]
	intermediates := x509.NewCertPool()
	for _, certificate := range chain[1:] {
		intermediates.AddCert(certificate)
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   time.UnixMilli(r.Time),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, "", err
	}
	if len(leaf.URIs) != 1 {
		return nil, "", fmt.Errorf("an SVID with %d URIs", len(leaf.URIs))
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(e.Signature)
	if err != nil {
		return nil, "", err
	}
	statement := fmt.Sprintf("agent-spiffe audit log key v1\n%s\n%d\n%s\n", e.Origin, index, e.Key)
	if err := checkSignature(leaf.PublicKey, e.Algorithm, []byte(statement), signature); err != nil {
		return nil, "", err
	}
	key, err := note.NewVerifier(e.Key)
	if err != nil {
		return nil, "", err
	}
	if key.Name() != e.Origin {
		return nil, "", fmt.Errorf("a key named %q for the log %q", key.Name(), e.Origin)
	}
	return key, leaf.URIs[0].String(), nil
}

func checkSignature(key crypto.PublicKey, algorithm string, statement, signature []byte) error {
	s256, s384, s512 := sha256.Sum256(statement), sha512.Sum384(statement), sha512.Sum512(statement)
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		digest, ok := map[string][]byte{
			"ECDSA-P256-SHA256": s256[:], "ECDSA-P384-SHA384": s384[:], "ECDSA-P521-SHA512": s512[:],
		}[algorithm]
		if !ok || !ecdsa.VerifyASN1(k, digest, signature) {
			return fmt.Errorf("the signature (%s) does not verify", algorithm)
		}
		return nil
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(k, crypto.SHA256, s256[:], signature)
	default:
		return fmt.Errorf("a key of type %T", key)
	}
}

func decodeChain(texts []string) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for _, text := range texts {
		der, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil {
			return nil, err
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, certificate)
	}
	if len(chain) == 0 {
		return nil, errors.New("an empty SVID")
	}
	return chain, nil
}

func readRoots(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		roots.AddCert(certificate)
	}
	return roots, nil
}
