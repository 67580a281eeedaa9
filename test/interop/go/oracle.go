package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// question is one document to judge; which members count depends on the kind.
type question struct {
	Kind        string            `json:"kind"`
	Text        string            `json:"text"`
	Chain       [][]byte          `json:"chain"`
	Bundles     map[string][]byte `json:"bundles"`
	TrustDomain string            `json:"trustDomain"`
	Data        []byte            `json:"data"`
	Key         []byte            `json:"key"`
	Audience    []string          `json:"audience"`
	Now         time.Time         `json:"now"`
}

// verdict is what go-spiffe says, with what Go's parser sees in the certificates, so that a difference can be told
// from its cause by someone other than the one who differs.
type verdict struct {
	Accept bool     `json:"accept"`
	ID     string   `json:"id,omitempty"`
	Items  []string `json:"items,omitempty"`
	// Keys tells of which kind each key of a JWK set is.
	Keys  map[string]string `json:"keys,omitempty"`
	Error string            `json:"error,omitempty"`
	Facts []facts           `json:"facts,omitempty"`
}

type facts struct {
	Error      string          `json:"error,omitempty"`
	KeyUsage   x509.KeyUsage   `json:"keyUsage"`
	Key        string          `json:"key"`
	Signature  string          `json:"signature"`
	URIs       []string        `json:"uris"`
	Extensions map[string]bool `json:"extensions"`
}

// oracle answers a question a line until its input ends.
func oracle(context.Context, []string) error {
	input := bufio.NewReaderSize(os.Stdin, 1<<20)
	output := bufio.NewWriterSize(os.Stdout, 1<<20)
	defer output.Flush()
	decoder := json.NewDecoder(input)
	encoder := json.NewEncoder(output)
	for decoder.More() {
		var asked question
		if err := decoder.Decode(&asked); err != nil {
			return err
		}
		if err := encoder.Encode(judge(asked)); err != nil {
			return err
		}
		if input.Buffered() == 0 {
			if err := output.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func judge(asked question) (said verdict) {
	defer func() {
		if trouble := recover(); trouble != nil {
			said = verdict{Error: fmt.Sprintf("panic: %v", trouble)}
		}
	}()
	said, err := ask(asked)
	said.Accept = err == nil
	if err != nil {
		said.Error = err.Error()
	}
	for _, der := range asked.Chain {
		said.Facts = append(said.Facts, look(der))
	}
	together := [][]byte{}
	if asked.Kind == "svid" {
		together = append(together, asked.Data)
	} else if asked.Kind == "x509" {
		for _, bundle := range asked.Bundles {
			together = append(together, bundle)
		}
	}
	for _, ders := range together {
		certificates, _ := x509.ParseCertificates(ders)
		for _, certificate := range certificates {
			said.Facts = append(said.Facts, look(certificate.Raw))
		}
	}
	return said
}

func ask(asked question) (said verdict, err error) {
	var id spiffeid.ID
	switch asked.Kind {
	case "id":
		id, err = spiffeid.FromString(asked.Text)
	case "x509":
		id, err = x509Chain(asked)
	case "svid":
		var svid *x509svid.SVID
		if svid, err = x509svid.ParseRaw(asked.Data, asked.Key); err == nil {
			id = svid.ID
		}
	case "jwt":
		id, err = jwt(asked)
	case "x509bundle", "pem":
		said.Items, err = x509Bundle(asked)
	case "jwks":
		said.Items, said.Keys, err = jwks(asked)
	default:
		err = errors.New("unknown kind " + asked.Kind)
	}
	said.ID = id.String()
	return said, err
}

func x509Chain(asked question) (spiffeid.ID, error) {
	bundles, err := x509Bundles(asked.Bundles)
	if err != nil {
		return spiffeid.ID{}, err
	}
	id, _, err := x509svid.ParseAndVerify(asked.Chain, bundles, x509svid.WithTime(asked.Now))
	return id, err
}

func x509Bundles(raw map[string][]byte) (*x509bundle.Set, error) {
	set := x509bundle.NewSet()
	for name, der := range raw {
		domain, err := spiffeid.TrustDomainFromString(name)
		if err != nil {
			return nil, err
		}
		bundle, err := x509bundle.ParseRaw(domain, der)
		if err != nil {
			return nil, err
		}
		set.Add(bundle)
	}
	return set, nil
}

func x509Bundle(asked question) (items []string, err error) {
	domain, err := spiffeid.TrustDomainFromString(asked.TrustDomain)
	if err != nil {
		return nil, err
	}
	parse := x509bundle.ParseRaw
	if asked.Kind == "pem" {
		parse = x509bundle.Parse
	}
	bundle, err := parse(domain, asked.Data)
	if err != nil {
		return nil, err
	}
	for _, authority := range bundle.X509Authorities() {
		items = append(items, fmt.Sprintf("%x", sha256.Sum256(authority.Raw)))
	}
	return items, nil
}

func jwt(asked question) (spiffeid.ID, error) {
	set := jwtbundle.NewSet()
	for name, document := range asked.Bundles {
		bundle, err := parseJWKS(name, document)
		if err != nil {
			return spiffeid.ID{}, err
		}
		set.Add(bundle)
	}
	svid, err := jwtsvid.ParseAndValidate(asked.Text, set, asked.Audience)
	if err != nil {
		return spiffeid.ID{}, err
	}
	return svid.ID, nil
}

// jwks judges the document as a whole, and each entry by itself, since one bad entry costs go-spiffe all the others.
func jwks(asked question) (items []string, keys map[string]string, err error) {
	_, err = parseJWKS(asked.TrustDomain, asked.Data)
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(asked.Data, &document) != nil {
		return nil, nil, err
	}
	keys = map[string]string{}
	for _, entry := range document.Keys {
		alone, err := json.Marshal(map[string]any{"keys": []json.RawMessage{entry}})
		if err != nil {
			continue
		}
		bundle, err := parseJWKS(asked.TrustDomain, alone)
		if err != nil {
			continue
		}
		for keyID, key := range bundle.JWTAuthorities() {
			items = append(items, keyID)
			keys[keyID] = describe(key)
		}
	}
	return items, keys, err
}

func parseJWKS(name string, document []byte) (*jwtbundle.Bundle, error) {
	domain, err := spiffeid.TrustDomainFromString(name)
	if err != nil {
		return nil, err
	}
	return jwtbundle.Parse(domain, document)
}

func look(der []byte) facts {
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return facts{Error: err.Error()}
	}
	seen := facts{
		KeyUsage:   certificate.KeyUsage,
		Key:        describe(certificate.PublicKey),
		Signature:  certificate.SignatureAlgorithm.String(),
		URIs:       []string{},
		Extensions: map[string]bool{},
	}
	for _, uri := range certificate.URIs {
		seen.URIs = append(seen.URIs, uri.String())
	}
	for _, extension := range certificate.Extensions {
		seen.Extensions[extension.Id.String()] = extension.Critical
	}
	return seen
}

func describe(key any) string {
	switch key := key.(type) {
	case *rsa.PublicKey:
		if key.E != 65537 {
			return fmt.Sprintf("RSA-%d with exponent %d", key.N.BitLen(), key.E)
		}
		return fmt.Sprintf("RSA-%d", key.N.BitLen())
	case *ecdsa.PublicKey:
		return key.Curve.Params().Name
	}
	return fmt.Sprintf("%T", key)
}
