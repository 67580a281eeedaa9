package main

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

const (
	skew       = 30
	lifetime   = 7_776_000
	window     = 30
	mostDepth  = 8
	mostToken  = 65_536
	mostChain  = 262_144
	entryType  = "attenuating_agent_token"
	thumbprint = "urn:ietf:params:oauth:jwk-thumbprint:sha-256:"
)

// token is one whose signature and claims hold.
type token struct {
	claims                   value
	jti                      string
	iat, exp, depth, ceiling int64
	holder                   key
	entries                  int
	tools                    map[string]map[string]value
	hash                     string
}

// call is what a receiver gets, and what it knows.
type call struct {
	now             int64
	tool, args      string
	audience        []string
	chainAud, noPop bool
	nonce           *string
}

func member(v value, step string, name string) value {
	m, has := v.members[name]
	demand(has, step)
	return m
}

func whole(v value, step string, name string) int64 {
	n, ok := member(v, step, name).whole()
	demand(ok, step)
	return n
}

func textual(v value, step string, name string) string {
	m := member(v, step, name)
	demand(m.kind == text, step)
	return m.text
}

func full(v value, step string, name string) string {
	s := textual(v, step, name)
	demand(s != "", step)
	return s
}

func holder(claims value, step string) key {
	cnf := member(claims, step, "cnf")
	demand(cnf.kind == object, step)
	jwk := member(cnf, step, "jwk")
	demand(jwk.admissible(), step)
	k, ok := readJWK(jwk)
	demand(ok, step)
	return k
}

// capability reads the one entry, or none where that is allowed.
func capability(claims value, shape, form string, least int) (int, map[string]map[string]value) {
	details := member(claims, shape, "authorization_details")
	demand(details.kind == array, shape)
	var found []value
	for _, entry := range details.items {
		if typ := entry.members["type"]; entry.kind == object && typ.kind == text && typ.text == entryType {
			found = append(found, entry)
		}
	}
	demand(len(found) >= least && len(found) <= 1, shape)
	tools := map[string]map[string]value{}
	if len(found) == 0 {
		return 0, tools
	}
	maps := member(found[0], shape, "tools")
	demand(maps.kind == object, shape)
	for _, m := range maps.members {
		demand(m.kind == object, shape)
	}
	for tool, m := range maps.members {
		for name, c := range m.members {
			demand(wellFormed(c), form)
			_, says := c.members["optional"]
			demand(name != others || (kindOf(c) == "wildcard" && !says), form)
		}
		tools[tool] = m.members
		if len(m.members) == 0 {
			tools[tool] = map[string]value{others: wildcard}
		}
	}
	return 1, tools
}

// early does the steps before anything is verified.
func early(chain []string) []jws {
	demand(len(chain) > 0, "1")
	total := 0
	for _, t := range chain {
		demand(len(t) <= mostToken, "2a")
		total += len(t)
	}
	demand(total <= mostChain, "2b")
	seen := map[string]bool{}
	out := make([]jws, len(chain))
	for i, t := range chain {
		out[i] = split(t, "2c")
		jti, ok := peek(out[i].payload)
		demand(ok && !seen[jti], "2c")
		seen[jti] = true
	}
	return out
}

// peek finds the first text jti of the outermost object, whatever else is wrong with it.
func peek(payload []byte) (string, bool) {
	d := json.NewDecoder(strings.NewReader(string(payload)))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return "", false
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return "", false
		}
		var raw json.RawMessage
		if d.Decode(&raw) != nil {
			return "", false
		}
		if name == "jti" {
			var s string
			err := json.Unmarshal(raw, &s)
			return s, err == nil && raw[0] == '"'
		}
	}
	return "", false
}

func readRoot(j jws, issuer string, now int64) token {
	c := j.claims("3b")
	t := token{claims: c, iat: whole(c, "3b", "iat"), exp: whole(c, "3b", "exp"), hash: hashOf(j.signed)}
	depth, ok := member(c, "3c", "del_depth").whole()
	demand(ok && depth == 0, "3c")
	_, has := c.members["par_hash"]
	demand(!has, "3d")
	demand(t.exp > now, "3e")
	demand(t.iat <= now+skew, "3f")
	demand(t.exp > t.iat, "3g")
	demand(t.exp <= t.iat+lifetime, "3h")
	t.ceiling = whole(c, "3i", "del_max_depth")
	demand(t.ceiling <= mostDepth, "3i")
	t.jti = full(c, "3j", "jti")
	demand(textual(c, "3k", "iss") == issuer, "3k")
	t.holder = holder(c, "3l")
	t.entries, t.tools = capability(c, "3m", "3n", 1)
	return t
}

func readChild(parent token, j jws, now int64) token {
	c := j.claims("4b")
	t := token{claims: c, jti: full(c, "4b1", "jti"), holder: holder(c, "4b2"), hash: hashOf(j.signed)}
	demand(member(c, "4b3", "authorization_details").kind == array, "4b3")
	t.depth, t.ceiling = whole(c, "4b4", "del_depth"), whole(c, "4b4", "del_max_depth")
	iss, par := textual(c, "4b5", "iss"), textual(c, "4b5", "par_hash")
	t.iat, t.exp = whole(c, "4b5", "iat"), whole(c, "4b5", "exp")
	demand(iss == thumbprint+parent.holder.thumbprint, "4c")
	demand(t.depth == parent.depth+1, "4d")
	demand(t.depth <= parent.ceiling, "4e")
	demand(t.depth <= mostDepth, "4f")
	demand(t.ceiling <= parent.ceiling, "4g")
	demand(t.exp <= parent.exp, "4h")
	demand(t.exp > now, "4i")
	demand(t.iat >= parent.iat, "4j")
	demand(t.iat <= now+skew, "4k")
	demand(t.exp > t.iat, "4l")
	demand(t.depth <= t.ceiling, "4m")
	t.entries, t.tools = capability(c, "4n", "4o", 0)
	narrower(parent.tools, t.tools)
	demand(par == parent.hash, "4q")
	return t
}

func narrower(parent, child map[string]map[string]value) {
	for tool := range child {
		demand(parent[tool] != nil, "4p1")
	}
	for tool, down := range child {
		up := parent[tool]
		_, open := up[others]
		_, opens := down[others]
		for name := range down {
			_, named := up[name]
			demand(named || open, "4p2")
		}
		demand(open || !opens, "4p2")
		for name, c := range up {
			if _, kept := down[name]; name != others && !kept {
				demand(c.members["optional"].truth && !opens, "4p2")
			}
		}
	}
	for tool, down := range child {
		for name, c := range down {
			limit, named := parent[tool][name]
			demand(!named || limit.members["optional"].truth || !c.members["optional"].truth, "4p3")
		}
	}
	for tool, down := range child {
		for name, c := range down {
			limit, named := parent[tool][name]
			if !named {
				limit = parent[tool][others]
			}
			demand(above(limit, c), "4p4")
		}
	}
}

// anchor is a key that may sign roots, and the name that these bear.
type anchor struct {
	key
	issuer string
}

// verifyChain does steps 3 to 5; profile looks at each token and its parent after that.
func verifyChain(tokens []jws, anchors []anchor, now int64, profile func(t, parent *token)) []token {
	alg := tokens[0].alg("aat+jwt", "3a")
	var signer *anchor
	fits := false
	for i := range anchors {
		if anchors[i].alg == alg {
			fits = true
			if signer == nil && tokens[0].signedBy(anchors[i].key) {
				signer = &anchors[i]
			}
		}
	}
	demand(fits, "3a")
	demand(signer != nil, "3b")
	chain := []token{readRoot(tokens[0], signer.issuer, now)}
	profile(&chain[0], nil)
	for _, j := range tokens[1:] {
		parent := chain[len(chain)-1]
		demand(j.alg("aat+jwt", "4a") == parent.holder.alg, "4a")
		demand(j.signedBy(parent.holder), "4b")
		child := readChild(parent, j, now)
		profile(&child, &parent)
		chain = append(chain, child)
	}
	demand(int64(len(chain)) == chain[len(chain)-1].depth+1, "5")
	return chain
}

func openProof(proof string, leaf token) value {
	demand(len(proof) <= mostToken, "7a")
	j := split(proof, "7a")
	demand(j.alg("aat-pop+jwt", "7a") == leaf.holder.alg, "7a")
	demand(j.signedBy(leaf.holder), "7b")
	return j.claims("7b")
}

func checkCall(chain []token, c call) value {
	leaf := chain[len(chain)-1]
	demand(leaf.entries == 1, "6a")
	allowed := leaf.tools[c.tool]
	demand(allowed != nil, "6b")
	args, err := parseJSON([]byte(c.args))
	demand(err == nil && args.kind == object && args.admissible(), "6b")
	_, open := allowed[others]
	for name, v := range args.members {
		constraint, named := allowed[name]
		// An argument that is called * is one that is not named.
		if named && name != others {
			demand(accepts(constraint, v), "6b")
		} else {
			demand(open, "6b")
		}
	}
	for name, constraint := range allowed {
		_, given := args.members[name]
		demand(given || name == others || constraint.members["optional"].truth, "6b")
	}
	some := false
	for _, t := range chain {
		aud, has := t.claims.members["aud"]
		if !has {
			continue
		}
		some = true
		names := aud.items
		if aud.kind == text {
			names = []value{aud}
		}
		here := false
		for _, name := range names {
			demand(name.kind == text, "6c")
			here = here || contains(c.audience, name.text)
		}
		demand(here, "6c")
	}
	demand(some || !c.chainAud, "6c")
	return args
}

// checkProof does steps 7c to 7h and gives the id of the proof and its time.
func checkProof(p value, leaf token, args value, c call) (string, int64) {
	jti, id := full(p, "7c", "jti"), full(p, "7c", "aat_id")
	hash, tool := full(p, "7c", "aat_hash"), full(p, "7c", "aat_tool")
	iat := whole(p, "7c", "iat")
	hta := member(p, "7c", "hta")
	demand(hta.kind == object && id == leaf.jti && hash == leaf.hash, "7c")
	if aud, has := p.members["aat_aud"]; has {
		demand(aud.kind == text && contains(c.audience, aud.text), "7d")
	} else {
		demand(c.noPop, "7d")
	}
	demand(tool == c.tool, "7e")
	demand(hta.admissible() && hta.canonical() == args.canonical(), "7f")
	demand(iat >= c.now-window && iat <= c.now+window, "7g")
	if c.nonce != nil {
		demand(textual(p, "7h", "nonce") == *c.nonce, "7h")
	}
	return jti, iat
}

// verifyIssuer verifies the certificates as an X.509-SVID of a trust domain that is known.
func verifyIssuer(certificates [][]byte, bundles map[string]*x509.CertPool, now int64) (anchor, *x509.Certificate) {
	var parsed []*x509.Certificate
	for _, der := range certificates {
		certificate, err := x509.ParseCertificate(der)
		demand(err == nil, "issuer")
		parsed = append(parsed, certificate)
	}
	demand(len(parsed) > 0, "issuer")
	leaf := parsed[0]
	demand(len(leaf.URIs) == 1 && !leaf.IsCA && leaf.KeyUsage&x509.KeyUsageDigitalSignature != 0, "issuer")
	id := leaf.URIs[0].String()
	demand(isWorkload(id), "issuer")
	roots := bundles[leaf.URIs[0].Host]
	demand(roots != nil, "issuer")
	between := x509.NewCertPool()
	for _, certificate := range parsed[1:] {
		between.AddCert(certificate)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: time.Unix(now, 0),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	demand(err == nil, "issuer")
	k, ok := certified(leaf.PublicKey)
	demand(ok, "issuer")
	return anchor{k, id}, leaf
}

func decodeCertificates(texts []string) [][]byte {
	total := 0
	for _, t := range texts {
		total += len(t)
	}
	demand(len(texts) >= 1 && len(texts) <= 16 && total <= 65_536, "presentation")
	out := make([][]byte, len(texts))
	for i, t := range texts {
		der, err := base64.StdEncoding.Strict().DecodeString(t)
		demand(err == nil && len(der) > 0 && base64.StdEncoding.EncodeToString(der) == t, "presentation")
		out[i] = der
	}
	return out
}
