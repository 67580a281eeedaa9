package main

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"log"
	"time"

	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

func discard() *log.Logger { return log.New(io.Discard, "", 0) }

// readX509 tells of each state that the X.509 stream brings, until there is nobody to tell.
func readX509(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("x509", flag.ExitOnError)
	socket := flags.String("socket", "", "address of the Workload API")
	_ = flags.Parse(args)
	ctx = untilStdinEnds(ctx)
	client, err := workloadapi.New(ctx, workloadapi.WithAddr(*socket))
	if err != nil {
		return err
	}
	defer client.Close()
	err = client.WatchX509Context(ctx, x509Watcher{})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

type x509Watcher struct{}

func (x509Watcher) OnX509ContextUpdate(state *workloadapi.X509Context) {
	svids := []map[string]any{}
	for _, svid := range state.SVIDs {
		chain := [][]byte{}
		for _, certificate := range svid.Certificates {
			chain = append(chain, certificate.Raw)
		}
		svids = append(svids, map[string]any{"id": svid.ID.String(), "hint": svid.Hint, "chain": chain})
	}
	bundles := map[string][][]byte{}
	for _, bundle := range state.Bundles.Bundles() {
		list := [][]byte{}
		for _, authority := range bundle.X509Authorities() {
			list = append(list, authority.Raw)
		}
		bundles[bundle.TrustDomain().Name()] = list
	}
	say(map[string]any{"svids": svids, "bundles": bundles})
}

func (x509Watcher) OnX509ContextWatchError(err error) {
	say(map[string]any{"trouble": err.Error()})
}

// readJWT asks each JWT RPC once: a token of each identity, the bundles, the server's verdict on the first token; and
// gives its own verdict beside.
func readJWT(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("jwt", flag.ExitOnError)
	socket := flags.String("socket", "", "address of the Workload API")
	audience := flags.String("audience", "", "audience of the tokens")
	_ = flags.Parse(args)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client, err := workloadapi.New(ctx, workloadapi.WithAddr(*socket))
	if err != nil {
		return err
	}
	defer client.Close()
	svids, err := client.FetchJWTSVIDs(ctx, jwtsvid.Params{Audience: *audience})
	if err != nil {
		return err
	}
	bundles, err := client.FetchJWTBundles(ctx)
	if err != nil {
		return err
	}
	documents := map[string]json.RawMessage{}
	for _, bundle := range bundles.Bundles() {
		document, err := bundle.Marshal()
		if err != nil {
			return err
		}
		documents[bundle.TrustDomain().Name()] = document
	}
	validated, err := client.ValidateJWTSVID(ctx, svids[0].Marshal(), *audience)
	if err != nil {
		return err
	}
	verified, err := jwtsvid.ParseAndValidate(svids[0].Marshal(), bundles, []string{*audience})
	if err != nil {
		return err
	}
	told := []map[string]any{}
	for _, svid := range svids {
		told = append(told, map[string]any{"id": svid.ID.String(), "hint": svid.Hint, "token": svid.Marshal()})
	}
	say(map[string]any{
		"svids":     told,
		"bundles":   documents,
		"validated": validated.ID.String(),
		"verified":  verified.ID.String(),
	})
	return nil
}
