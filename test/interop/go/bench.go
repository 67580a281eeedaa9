package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// material is what both sides of the comparison work on: the same certificates, keys and tokens.
type material struct {
	TrustDomain string            `json:"trustDomain"`
	Authorities []byte            `json:"authorities"`
	Client      svidBytes         `json:"client"`
	Server      svidBytes         `json:"server"`
	JWKS        []byte            `json:"jwks"`
	Tokens      map[string]string `json:"tokens"`
	Audience    string            `json:"audience"`
	InFlight    int               `json:"inFlight"`
}

type svidBytes struct {
	Certificates []byte `json:"certificates"`
	Key          []byte `json:"key"`
}

type order struct {
	Op string `json:"op"`
	Ms int    `json:"ms"`
}

// measure reads the material, then answers each order with how often its operation ends in a second.
func measure(context.Context, []string) error {
	decoder := json.NewDecoder(bufio.NewReader(os.Stdin))
	var given material
	if err := decoder.Decode(&given); err != nil {
		return err
	}
	bench, err := prepare(given)
	if err != nil {
		return err
	}
	defer bench.server.Close()
	for decoder.More() {
		var asked order
		if err := decoder.Decode(&asked); err != nil {
			return err
		}
		step, parallel, err := bench.step(asked.Op)
		if err != nil {
			return err
		}
		count, err := repeat(step, parallel, time.Duration(asked.Ms)*time.Millisecond)
		if err != nil {
			return err
		}
		say(map[string]any{"perSecond": count})
	}
	return nil
}

type prepared struct {
	given   material
	chain   [][]byte
	bundle  *x509bundle.Bundle
	jwts    *jwtbundle.Bundle
	server  *http.Server
	address string
	kept    *http.Client
	fresh   *http.Client
}

func prepare(given material) (*prepared, error) {
	domain, err := spiffeid.TrustDomainFromString(given.TrustDomain)
	if err != nil {
		return nil, err
	}
	authorities, err := x509.ParseCertificates(given.Authorities)
	if err != nil {
		return nil, err
	}
	jwts, err := jwtbundle.Parse(domain, given.JWKS)
	if err != nil {
		return nil, err
	}
	client, err := x509svid.ParseRaw(given.Client.Certificates, given.Client.Key)
	if err != nil {
		return nil, err
	}
	server, err := x509svid.ParseRaw(given.Server.Certificates, given.Server.Key)
	if err != nil {
		return nil, err
	}
	bench := &prepared{given: given, bundle: x509bundle.FromX509Authorities(domain, authorities), jwts: jwts}
	for _, certificate := range client.Certificates {
		bench.chain = append(bench.chain, certificate.Raw)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	serverConfig := tlsconfig.MTLSServerConfig(server, bench.bundle, tlsconfig.AuthorizeID(client.ID))
	serverConfig.SessionTicketsDisabled = true
	bench.server = &http.Server{
		TLSConfig: serverConfig,
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }),
		ErrorLog:  discard(),
		// HTTP/1.1, as the other side speaks.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	go func() { _ = bench.server.ServeTLS(listener, "", "") }()
	bench.address = "https://" + listener.Addr().String()
	clientConfig := tlsconfig.MTLSClientConfig(client, bench.bundle, tlsconfig.AuthorizeID(server.ID))
	bench.kept = &http.Client{Transport: &http.Transport{TLSClientConfig: clientConfig, MaxIdleConnsPerHost: given.InFlight}}
	bench.fresh = &http.Client{Transport: &http.Transport{TLSClientConfig: clientConfig, DisableKeepAlives: true}}
	return bench, nil
}

func (p *prepared) step(op string) (func() error, int, error) {
	switch op {
	case "chain":
		return func() error {
			_, _, err := x509svid.ParseAndVerify(p.chain, p.bundle)
			return err
		}, 1, nil
	case "id":
		return func() error {
			_, err := spiffeid.FromString("spiffe://example.org/agents/researcher")
			return err
		}, 1, nil
	case "handshake":
		return func() error { return get(p.fresh, p.address) }, p.given.InFlight, nil
	case "request":
		return func() error { return get(p.kept, p.address) }, p.given.InFlight, nil
	}
	if token, ok := p.given.Tokens[op]; ok {
		return func() error {
			_, err := jwtsvid.ParseAndValidate(token, p.jwts, []string{p.given.Audience})
			return err
		}, 1, nil
	}
	return nil, 0, fmt.Errorf("no operation %q", op)
}

func get(client *http.Client, address string) error {
	response, err := client.Get(address)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

func repeat(step func() error, parallel int, length time.Duration) (float64, error) {
	var count atomic.Int64
	var trouble atomic.Value
	var group sync.WaitGroup
	start := time.Now()
	for range parallel {
		group.Add(1)
		go func() {
			defer group.Done()
			for time.Since(start) < length && trouble.Load() == nil {
				if err := step(); err != nil {
					trouble.Store(err)
					return
				}
				count.Add(1)
			}
		}()
	}
	group.Wait()
	if err, ok := trouble.Load().(error); ok {
		return 0, err
	}
	return float64(count.Load()) / time.Since(start).Seconds(), nil
}
