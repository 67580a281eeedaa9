package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

type peerFlags struct {
	*flag.FlagSet
	socket, peer, audience *string
	tls12                  *bool
}

func parsePeerFlags(name string) peerFlags {
	set := flag.NewFlagSet(name, flag.ExitOnError)
	return peerFlags{
		FlagSet:  set,
		socket:   set.String("socket", "", "address of the Workload API"),
		peer:     set.String("peer", "", "SPIFFE ID of the one peer that is let through"),
		audience: set.String("audience", "", "audience of the JWT-SVID to demand or to send; empty: none"),
		tls12:    set.Bool("tls12", false, "speak TLS 1.2 and nothing newer"),
	}
}

func (f peerFlags) limit(config *tls.Config) *tls.Config {
	if *f.tls12 {
		config.MaxVersion = tls.VersionTLS12
	}
	return config
}

// serve answers each request with what it knows of its peer. With -audience it wants a JWT-SVID as well.
func serve(ctx context.Context, args []string) error {
	flags := parsePeerFlags("serve")
	_ = flags.Parse(args)
	ctx = untilStdinEnds(ctx)
	allowed, err := spiffeid.FromString(*flags.peer)
	if err != nil {
		return err
	}
	source, err := openX509(ctx, *flags.socket)
	if err != nil {
		return err
	}
	defer source.Close()
	var bundles jwtbundle.Source
	if *flags.audience != "" {
		jwtSource, err := openJWT(ctx, *flags.socket)
		if err != nil {
			return err
		}
		defer jwtSource.Close()
		bundles = jwtSource
	}
	config := flags.limit(tlsconfig.MTLSServerConfig(source, source, tlsconfig.AuthorizeID(allowed)))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{
		TLSConfig: config,
		ErrorLog:  discard(),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer(w, r, bundles, *flags.audience)
		}),
	}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	say(map[string]any{"port": listener.Addr().(*net.TCPAddr).Port})
	if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func answer(w http.ResponseWriter, r *http.Request, bundles jwtbundle.Source, audience string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	peer, err := spiffetls.PeerIDFromConnectionState(*r.TLS)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	said := map[string]any{
		"peer":    peer.String(),
		"method":  r.Method,
		"body":    string(body),
		"resumed": r.TLS.DidResume,
		"version": tls.VersionName(r.TLS.Version),
	}
	if bundles != nil {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		svid, err := jwtsvid.ParseAndValidate(token, bundles, []string{audience})
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		said["subject"] = svid.ID.String()
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(said)
}

// call sends requests one after another, each on a connection of its own, and tells of each.
func call(ctx context.Context, args []string) error {
	flags := parsePeerFlags("call")
	url := flags.String("url", "", "where to send the requests")
	times := flags.Int("times", 1, "how many requests")
	tickets := flags.Bool("tickets", false, "keep TLS sessions and offer them")
	_ = flags.Parse(args)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	expected, err := spiffeid.FromString(*flags.peer)
	if err != nil {
		return err
	}
	source, err := openX509(ctx, *flags.socket)
	if err != nil {
		return err
	}
	defer source.Close()
	config := flags.limit(tlsconfig.MTLSClientConfig(source, source, tlsconfig.AuthorizeID(expected)))
	if *tickets {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	token := ""
	if *flags.audience != "" {
		if token, err = fetchToken(ctx, *flags.socket, *flags.audience); err != nil {
			return err
		}
	}
	for range *times {
		if err := callOnce(ctx, client, *url, token); err != nil {
			return err
		}
	}
	return nil
}

func callOnce(ctx context.Context, client *http.Client, url, token string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("from go"))
	if err != nil {
		return err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	peer, err := spiffetls.PeerIDFromConnectionState(*response.TLS)
	if err != nil {
		return err
	}
	say(map[string]any{
		"status":  response.StatusCode,
		"body":    string(body),
		"peer":    peer.String(),
		"resumed": response.TLS.DidResume,
		"version": tls.VersionName(response.TLS.Version),
	})
	return nil
}

func fetchToken(ctx context.Context, socket, audience string) (string, error) {
	svid, err := workloadapi.FetchJWTSVID(ctx, jwtsvid.Params{Audience: audience}, workloadapi.WithAddr(socket))
	if err != nil {
		return "", err
	}
	return svid.Marshal(), nil
}

func openX509(ctx context.Context, socket string) (*workloadapi.X509Source, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return workloadapi.NewX509Source(ctx, workloadapi.WithClientOptions(workloadapi.WithAddr(socket)))
}

func openJWT(ctx context.Context, socket string) (*workloadapi.JWTSource, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return workloadapi.NewJWTSource(ctx, workloadapi.WithClientOptions(workloadapi.WithAddr(socket)))
}
