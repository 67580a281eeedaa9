// Command interop is go-spiffe as a peer: a server and a client over mTLS, a reader of a Workload API, and an oracle
// that judges documents. The tests in the folder above run it. It prints one JSON object a line.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
)

var commands = map[string]func(ctx context.Context, args []string) error{
	"version":    version,
	"serve":      serve,
	"serve-grpc": serveGRPC,
	"call":       call,
	"call-grpc":  callGRPC,
	"x509":       readX509,
	"jwt":        readJWT,
	"oracle":     oracle,
	"bench":      measure,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: interop version | serve | serve-grpc | call | call-grpc | x509 | jwt | oracle | bench")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](ctx, os.Args[2:]); err != nil {
		say(map[string]any{"error": err.Error()})
		os.Exit(1)
	}
}

// version tells what was really built in.
func version(context.Context, []string) error {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return fmt.Errorf("no build information")
	}
	for _, dep := range info.Deps {
		if dep.Path == "github.com/spiffe/go-spiffe/v2" {
			say(map[string]any{"version": dep.Version[1:], "runtime": runtime.Version()})
			return nil
		}
	}
	return fmt.Errorf("built without go-spiffe")
}

func say(value any) {
	if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
		os.Exit(3)
	}
}

// untilStdinEnds ends what the test started when the test ends, however it ends.
func untilStdinEnds(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx
}
