package main

import (
	"context"
	"net"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffegrpc/grpccredentials"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
)

// serveGRPC serves grpc.health.v1.Health and tells of each call who made it.
func serveGRPC(ctx context.Context, args []string) error {
	flags := parsePeerFlags("serve-grpc")
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
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	credentials := grpccredentials.MTLSServerCredentials(source, source, tlsconfig.AuthorizeID(allowed))
	server := grpc.NewServer(grpc.Creds(credentials), grpc.UnaryInterceptor(tell))
	healthpb.RegisterHealthServer(server, health.NewServer())
	go func() {
		<-ctx.Done()
		server.Stop()
	}()
	say(map[string]any{"port": listener.Addr().(*net.TCPAddr).Port})
	return server.Serve(listener)
}

func tell(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	peer, _ := grpccredentials.PeerIDFromContext(ctx)
	said, _ := metadata.FromIncomingContext(ctx)
	say(map[string]any{"peer": peer.String(), "authorization": said.Get("authorization")})
	return handler(ctx, request)
}

// callGRPC makes one call of Check and tells the status.
func callGRPC(ctx context.Context, args []string) error {
	flags := parsePeerFlags("call-grpc")
	target := flags.String("target", "", "host and port")
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
	credentials := grpccredentials.MTLSClientCredentials(source, source, tlsconfig.AuthorizeID(expected))
	connection, err := grpc.NewClient(*target, grpc.WithTransportCredentials(credentials))
	if err != nil {
		return err
	}
	defer connection.Close()
	answer, err := healthpb.NewHealthClient(connection).Check(ctx, &healthpb.HealthCheckRequest{Service: "x"})
	if err != nil {
		return err
	}
	say(map[string]any{"status": answer.GetStatus().String()})
	return nil
}
