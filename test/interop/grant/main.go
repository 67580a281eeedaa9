// Judges Attenuating Agent Tokens and the grants of agent-spiffe. Written from docs/grant.md, on the standard library; it
// shares no code with what made the vectors or with the library.
//
//	grant own <grant-spiffe.json>      for each call of each case: its id, its place, the step that refused or null
//	grant published <aat-02.json>      for each vector: its id, the step that refused or null
//	grant tables <grant-spiffe.json>   which pairs are above, which numbers are admissible
package main

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

func main() {
	if len(os.Args) != 3 {
		fail(fmt.Errorf("give a command, own, published or tables, and a file"))
	}
	source, err := os.ReadFile(os.Args[2])
	if err != nil {
		fail(err)
	}
	switch os.Args[1] {
	case "own":
		err = judgeOwn(source)
	case "published":
		err = judgePublished(source)
	case "tables":
		err = judgeTables(source)
	default:
		err = fmt.Errorf("no such command: %s", os.Args[1])
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func say(line any) {
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		fail(err)
	}
}

// stepOf gives the step that refused, or nil.
func stepOf(judge func()) (step *string) {
	defer func() {
		if cause := recover(); cause != nil {
			refused, ok := cause.(refusal)
			if !ok {
				panic(cause)
			}
			name := string(refused)
			step = &name
		}
	}()
	judge()
	return nil
}

type verdict struct {
	ID   string  `json:"id"`
	Call int     `json:"call"`
	Step *string `json:"step"`
}

type ownFile struct {
	Bundles map[string][]string `json:"bundles"`
	Issuers map[string][]string `json:"issuers"`
	Numbers []struct {
		Text string `json:"text"`
	} `json:"numbers"`
	Subsumption []struct {
		Parent json.RawMessage `json:"parent"`
		Child  json.RawMessage `json:"child"`
	} `json:"subsumption"`
	Vectors []struct {
		ID    string    `json:"id"`
		Calls []ownCall `json:"calls"`
	} `json:"vectors"`
}

type ownCall struct {
	Now          int64           `json:"now"`
	Tool         string          `json:"tool"`
	Args         string          `json:"args_json"`
	Peer         string          `json:"peer"`
	Audience     []string        `json:"audience"`
	ChainAud     bool            `json:"require_chain_aud"`
	PopAud       *bool           `json:"require_pop_aud"`
	Nonce        *string         `json:"nonce"`
	Revoked      []string        `json:"revoked"`
	Unknown      []string        `json:"unknown"`
	Presentation json.RawMessage `json:"presentation"`
	Headers      []string        `json:"headers"`
}

func judgeOwn(source []byte) error {
	var file ownFile
	if err := json.Unmarshal(source, &file); err != nil {
		return err
	}
	bundles := map[string]*x509.CertPool{}
	for domain, authorities := range file.Bundles {
		bundles[domain] = x509.NewCertPool()
		for _, text := range authorities {
			der, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				return err
			}
			certificates, err := x509.ParseCertificates(der)
			if err != nil {
				return err
			}
			for _, certificate := range certificates {
				bundles[domain].AddCert(certificate)
			}
		}
	}
	for _, vector := range file.Vectors {
		r := &receiver{bundles, map[string]bool{}, map[string]int64{}, map[string]int64{}}
		for i, c := range vector.Calls {
			say(verdict{vector.ID, i, stepOf(func() {
				isActive := func(jti string) bool { return !contains(c.Revoked, jti) && !contains(c.Unknown, jti) }
				waived := c.PopAud != nil && !*c.PopAud
				r.judge(presented(c, file.Issuers), call{c.Now, c.Tool, c.Args, c.Audience, c.ChainAud, waived, c.Nonce}, c.Peer, isActive)
			})})
		}
	}
	return nil
}

func presented(c ownCall, issuers map[string][]string) presentation {
	if c.Headers != nil {
		grant, proof := c.Headers[0], c.Headers[1]
		demand(len(grant)+len(proof) <= 12_288, "presentation")
		parts := strings.Split(grant, ";")
		demand(len(parts) == 2, "presentation")
		return presentation{strings.Split(parts[0], ","), proof, strings.Split(parts[1], ",")}
	}
	shown, err := parseJSON(c.Presentation)
	demand(err == nil && shown.kind == object, "presentation")
	p := presentation{proof: textual(shown, "presentation", "aat_pop"), chain: []string{}}
	chain := member(shown, "presentation", "aat_chain")
	demand(chain.kind == array, "presentation")
	for _, item := range chain.items {
		if letters, ok := item.members["letters"].whole(); item.kind == object && ok {
			item = value{kind: text, text: strings.Repeat("A", int(letters))}
		}
		demand(item.kind == text, "presentation")
		p.chain = append(p.chain, item.text)
	}
	certificates := member(shown, "presentation", "spiffe_x5c")
	if certificates.kind == text {
		p.certificates = issuers[certificates.text]
		return p
	}
	demand(certificates.kind == array, "presentation")
	for _, item := range certificates.items {
		demand(item.kind == text, "presentation")
		p.certificates = append(p.certificates, item.text)
	}
	return p
}

func judgePublished(source []byte) error {
	var file struct {
		Params struct {
			Audience string `json:"audience"`
		} `json:"params"`
		Anchors []struct {
			Iss string          `json:"iss"`
			JWK json.RawMessage `json:"jwk"`
		} `json:"trust_anchors"`
		Vectors []struct {
			ID       string          `json:"id"`
			Now      int64           `json:"now"`
			Tool     string          `json:"tool"`
			Args     json.RawMessage `json:"args"`
			ArgsJSON string          `json:"args_json"`
			Policy   struct {
				PopAud   bool    `json:"require_pop_aud"`
				ChainAud bool    `json:"require_chain_aud"`
				Nonce    *string `json:"nonce"`
			} `json:"policy"`
			Chain []string `json:"chain"`
			Pop   string   `json:"pop"`
		} `json:"vectors"`
	}
	if err := json.Unmarshal(source, &file); err != nil {
		return err
	}
	var anchors []anchor
	for _, a := range file.Anchors {
		jwk, err := parseJSON(a.JWK)
		if err != nil {
			return err
		}
		k, ok := readJWK(jwk)
		if !ok {
			return fmt.Errorf("no key in the anchor %s", a.Iss)
		}
		anchors = append(anchors, anchor{k, a.Iss})
	}
	for _, v := range file.Vectors {
		args := v.ArgsJSON
		if args == "" {
			args = string(v.Args)
		}
		say(verdict{v.ID, 0, stepOf(func() {
			c := call{v.Now, v.Tool, args, []string{file.Params.Audience}, v.Policy.ChainAud, !v.Policy.PopAud, v.Policy.Nonce}
			chain := verifyChain(early(v.Chain), anchors, v.Now, func(*token, *token) {})
			leaf := chain[len(chain)-1]
			opened := openProof(v.Pop, leaf)
			checkProof(opened, leaf, checkCall(chain, c), c)
		})})
	}
	return nil
}

func judgeTables(source []byte) error {
	var file ownFile
	if err := json.Unmarshal(source, &file); err != nil {
		return err
	}
	var said struct {
		Subsumption []bool `json:"subsumption"`
		Numbers     []bool `json:"numbers"`
	}
	for _, pair := range file.Subsumption {
		parent, err := parseJSON(pair.Parent)
		if err != nil {
			return err
		}
		child, err := parseJSON(pair.Child)
		if err != nil {
			return err
		}
		said.Subsumption = append(said.Subsumption, wellFormed(parent) && wellFormed(child) && above(parent, child))
	}
	for _, n := range file.Numbers {
		v, err := parseJSON([]byte(n.Text))
		said.Numbers = append(said.Numbers, err == nil && v.admissible())
	}
	say(said)
	return nil
}
