package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512"
	"encoding/base64"
	"math/big"
	"strings"
	"unicode/utf8"
)

// refusal is the step that refused.
type refusal string

func demand(holds bool, step string) {
	if !holds {
		panic(refusal(step))
	}
}

// decode takes base64url in canonical form alone.
func decode(s string) ([]byte, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return b, err == nil && base64.RawURLEncoding.EncodeToString(b) == s
}

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

type jws struct {
	header, signature, signed string
	payload                   []byte
}

func split(token, step string) jws {
	parts := strings.Split(token, ".")
	demand(len(parts) == 3 && parts[0] != "" && parts[1] != "", step)
	payload, ok := decode(parts[1])
	demand(ok && utf8.Valid(payload), step)
	return jws{parts[0], parts[2], parts[0] + "." + parts[1], payload}
}

// key is a public key with the one algorithm that it is used with.
type key struct {
	alg        string
	public     crypto.PublicKey
	thumbprint string
}

// alg judges the header and gives its algorithm.
func (j jws) alg(typ, step string) string {
	header, ok := decode(j.header)
	demand(ok, step)
	h, err := parseJSON(header)
	demand(err == nil && h.kind == object, step)
	alg := h.members["alg"]
	demand(alg.kind == text && contains([]string{"Ed25519", "ES256", "ES384", "ES512", "PS256"}, alg.text), step)
	demand(h.members["typ"].kind == text && h.members["typ"].text == typ, step)
	_, crit := h.members["crit"]
	demand(!crit, step)
	return alg.text
}

func (j jws) claims(step string) value {
	v, err := parseJSON(j.payload)
	demand(err == nil && v.kind == object, step)
	return v
}

func (j jws) signedBy(k key) bool {
	signature, ok := decode(j.signature)
	if !ok {
		return false
	}
	hashes := map[string]crypto.Hash{"ES256": crypto.SHA256, "ES384": crypto.SHA384, "ES512": crypto.SHA512, "PS256": crypto.SHA256}
	digest := func() []byte {
		h := hashes[k.alg].New()
		h.Write([]byte(j.signed))
		return h.Sum(nil)
	}
	switch public := k.public.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(public, []byte(j.signed), signature)
	case *ecdsa.PublicKey:
		size := (public.Curve.Params().BitSize + 7) / 8
		if len(signature) != 2*size {
			return false
		}
		r, s := new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:])
		return ecdsa.Verify(public, digest(), r, s)
	case *rsa.PublicKey:
		options := &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}
		return rsa.VerifyPSS(public, crypto.SHA256, digest(), signature, options) == nil
	}
	return false
}

var curves = map[string]struct {
	curve elliptic.Curve
	alg   string
}{
	"P-256": {elliptic.P256(), "ES256"},
	"P-384": {elliptic.P384(), "ES384"},
	"P-521": {elliptic.P521(), "ES512"},
}

// readJWK gives the public key that a cnf holds.
func readJWK(jwk value) (key, bool) {
	if jwk.kind != object {
		return key{}, false
	}
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if _, has := jwk.members[private]; has {
			return key{}, false
		}
	}
	member := func(name string) string {
		if jwk.members[name].kind != text {
			return ""
		}
		return jwk.members[name].text
	}
	bytes := func(name string) []byte {
		b, ok := decode(member(name))
		if !ok {
			return nil
		}
		return b
	}
	switch member("kty") {
	case "OKP":
		x := bytes("x")
		if member("crv") != "Ed25519" || len(x) != ed25519.PublicKeySize {
			return key{}, false
		}
		return key{"Ed25519", ed25519.PublicKey(x), hashOf(`{"crv":"Ed25519","kty":"OKP","x":"` + member("x") + `"}`)}, true
	case "EC":
		c, known := curves[member("crv")]
		if !known {
			return key{}, false
		}
		size := (c.curve.Params().BitSize + 7) / 8
		if len(bytes("x")) != size || len(bytes("y")) != size {
			return key{}, false
		}
		x, y := new(big.Int).SetBytes(bytes("x")), new(big.Int).SetBytes(bytes("y"))
		if !c.curve.IsOnCurve(x, y) {
			return key{}, false
		}
		members := `{"crv":"` + member("crv") + `","kty":"EC","x":"` + member("x") + `","y":"` + member("y") + `"}`
		return key{c.alg, &ecdsa.PublicKey{Curve: c.curve, X: x, Y: y}, hashOf(members)}, true
	case "RSA":
		n, e := new(big.Int).SetBytes(bytes("n")), new(big.Int).SetBytes(bytes("e"))
		if n.BitLen() < 2048 || n.BitLen() > 8192 || !e.IsInt64() || e.Int64() > 1<<31-1 {
			return key{}, false
		}
		members := `{"e":"` + member("e") + `","kty":"RSA","n":"` + member("n") + `"}`
		return key{"PS256", &rsa.PublicKey{N: n, E: int(e.Int64())}, hashOf(members)}, true
	}
	return key{}, false
}

// certified gives the key of a certificate with its algorithm.
func certified(public crypto.PublicKey) (key, bool) {
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		for _, c := range curves {
			if c.curve == public.Curve {
				return key{alg: c.alg, public: public}, true
			}
		}
	case *rsa.PublicKey:
		return key{alg: "PS256", public: public}, true
	}
	return key{}, false
}
