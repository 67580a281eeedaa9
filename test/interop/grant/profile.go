package main

import (
	"crypto/x509"
	"regexp"
	"unicode/utf16"
)

var workload = regexp.MustCompile(`^spiffe://[a-z0-9._-]{1,255}(/[a-zA-Z0-9._-]+)+$`)
var dots = regexp.MustCompile(`/\.\.?(/|$)`)

// isWorkload tells whether a text is a SPIFFE ID with a path.
func isWorkload(id string) bool {
	return len(id) <= 2048 && workload.MatchString(id) && !dots.MatchString(id)
}

var confidentiality = map[string]int{"public": 0, "internal": 1, "confidential": 2, "restricted": 3}
var integrity = map[string]int{"trusted": 0, "untrusted": 1}

type profile struct {
	sub     string
	labels  [2]int
	budget  bool
	calls   *int64
	perTool map[string]int64
}

func only(v value, names ...string) bool {
	for name := range v.members {
		if !contains(names, name) {
			return false
		}
	}
	return true
}

func readProfile(c value) profile {
	p := profile{sub: textual(c, "sub", "sub"), perTool: map[string]int64{}}
	demand(isWorkload(p.sub), "sub")
	demand(len(utf16.Encode([]rune(full(c, "task", "spiffe_task")))) <= 256, "task")
	labels := member(c, "labels", "spiffe_labels")
	demand(labels.kind == object && only(labels, "confidentiality", "integrity"), "labels")
	level, known := confidentiality[textual(labels, "labels", "confidentiality")]
	demand(known, "labels")
	trust, known := integrity[textual(labels, "labels", "integrity")]
	demand(known, "labels")
	p.labels = [2]int{level, trust}
	budget, has := c.members["spiffe_budget"]
	if !has {
		return p
	}
	p.budget = true
	demand(budget.kind == object && only(budget, "calls", "calls_per_tool"), "budget")
	if _, has := budget.members["calls"]; has {
		calls := whole(budget, "budget", "calls")
		p.calls = &calls
	}
	if tools, has := budget.members["calls_per_tool"]; has {
		demand(tools.kind == object, "budget")
		for tool := range tools.members {
			p.perTool[tool] = whole(tools, "budget", tool)
		}
	}
	return p
}

func checkProfile(parent, child profile) {
	demand(child.labels[0] >= parent.labels[0] && child.labels[1] >= parent.labels[1], "labels")
	demand(parent.calls == nil || child.calls == nil || *child.calls <= *parent.calls, "budget")
	for tool, calls := range child.perTool {
		most, has := parent.perTool[tool]
		demand(!has || calls <= most, "budget")
	}
}

// presentation is what was shown for a call.
type presentation struct {
	chain        []string
	proof        string
	certificates []string
}

// receiver remembers what it let pass.
type receiver struct {
	bundles map[string]*x509.CertPool
	proofs  map[string]bool
	calls   map[string]int64
	perTool map[string]int64
}

// judge does all steps of the profile.
func (r *receiver) judge(shown presentation, c call, peer string, isActive func(jti string) bool) {
	certificates := decodeCertificates(shown.certificates)
	tokens := early(shown.chain)
	signer, svid := verifyIssuer(certificates, r.bundles, c.now)
	var profiles []profile
	chain := verifyChain(tokens, []anchor{signer}, c.now, func(t, parent *token) {
		p := readProfile(t.claims)
		if parent == nil {
			demand(t.exp <= svid.NotAfter.Unix() && t.iat >= svid.NotBefore.Unix(), "issuer")
		} else {
			checkProfile(profiles[len(profiles)-1], p)
		}
		profiles = append(profiles, p)
	})
	leaf := chain[len(chain)-1]
	demand(profiles[len(profiles)-1].sub == peer, "peer")
	for _, t := range chain {
		demand(isActive(t.jti), "revoked")
	}
	opened := openProof(shown.proof, leaf)
	args := checkCall(chain, c)
	jti, _ := checkProof(opened, leaf, args, c)
	proof := leaf.holder.thumbprint + " " + jti
	demand(!r.proofs[proof], "7i")
	// Tokens that one signer gave to one key count as one.
	counted := map[string]bool{}
	signedBy := svid.URIs[0].String()
	for i, t := range chain {
		p := profiles[i]
		name := signedBy + " " + t.holder.thumbprint
		signedBy = t.holder.thumbprint
		if !p.budget {
			continue
		}
		demand(p.calls == nil || r.calls[name] < *p.calls, "budget")
		most, has := p.perTool[c.tool]
		demand(!has || r.perTool[name+" "+c.tool] < most, "budget")
		counted[name] = true
	}
	r.proofs[proof] = true
	for name := range counted {
		r.calls[name]++
		r.perTool[name+" "+c.tool]++
	}
}
