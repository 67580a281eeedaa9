import { createSecureServer } from 'node:http2';
import { createServer as createHttpsServer } from 'node:https';
import { createServer as createTlsServer, type Server } from 'node:tls';
import {
  Server as GrpcServer,
  ServerInterceptingCall,
  type ServerInterceptor,
  type ServerUnaryCall,
  type sendUnaryData,
} from '@grpc/grpc-js';
import type { Identity } from 'agent-spiffe';
import { createServer as createGrpcServer, peerOf as peerOfCall } from 'agent-spiffe/grpc';
import { createServer, type ProtectOptions, peerOf, protect } from 'agent-spiffe/http';
import { ECHO } from '../support/grpc.js';
import { UNARY_CALL } from './grpc-frames.js';

/** A kind of server that stands behind the gate. */
export interface ServerTarget {
  readonly name: string;
  readonly alpn: 'http/1.1' | 'h2';
  /** What is spoken. Default: that of `alpn`. */
  readonly protocol?: keyof typeof PROTOCOLS;
  /** `reached` is told who came through, by everything of the server that could be reached. */
  make(identity: Identity, options: ProtectOptions, reached: (peer: string) => void): Server;
}

/** The request in the bytes of HTTP/1.1, and a sign of the answer. */
const HTTP1 = {
  request: Buffer.from('GET / HTTP/1.1\r\nHost: target\r\nConnection: close\r\n\r\n'),
  answered: (received: Buffer): boolean => received.includes('200 OK'),
};

const ascii = (text: string): Buffer => Buffer.from(text, 'latin1');

/** RFC 9113: preface, empty SETTINGS, and HEADERS of GET https / with authority "x" (RFC 7541, static table). */
const HTTP2 = {
  request: Buffer.concat([
    ascii('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    Buffer.from('000000040000000000', 'hex'),
    Buffer.from('000006010500000001828784410178', 'hex'),
  ]),
  // A HEADERS frame on stream 1 whose first field is `:status: 200`.
  answered: (received: Buffer): boolean => {
    for (let at = 0; at + 9 < received.length; at += 9 + received.readUIntBE(at, 3)) {
      if (received[at + 3] === 1 && received[at + 9] === 0x88) return true;
    }
    return false;
  },
};

export const PROTOCOLS = {
  'http/1.1': HTTP1,
  h2: HTTP2,
  grpc: { request: UNARY_CALL, answered: HTTP2.answered },
} as const;

/** One for each way to put a server behind the gate. */
export const SERVER_TARGETS: readonly ServerTarget[] = [
  {
    name: 'createServer',
    alpn: 'http/1.1',
    make: (identity, options, reached) =>
      createServer(identity, options, (request, response) => {
        reached(peerOf(request).id.toString());
        response.end();
      }),
  },
  {
    name: 'protect(an https server)',
    alpn: 'http/1.1',
    make: (identity, options, reached) => {
      const server = createHttpsServer((request, response) => {
        reached(peerOf(request.socket).id.toString());
        response.end();
      });
      protect(server, identity, options);
      return server;
    },
  },
  {
    name: 'protect(an http2 server)',
    alpn: 'h2',
    make: (identity, options, reached) => {
      const server = createSecureServer();
      server.on('session', (session) => reached(peerOf(session.socket).id.toString()));
      server.on('stream', (stream) => {
        reached(peerOf(stream).id.toString());
        stream.respond({ ':status': 200 });
        stream.end();
      });
      protect(server, identity, options);
      return server;
    },
  },
  {
    name: 'protect(an http2 server), by its compatible requests',
    alpn: 'h2',
    make: (identity, options, reached) => {
      const server = createSecureServer({}, (request, response) => {
        reached(peerOf(request).id.toString());
        reached(peerOf(request.socket).id.toString());
        response.end();
      });
      protect(server, identity, options);
      return server;
    },
  },
  {
    name: 'protect(an http2 server), which falls back to HTTP/1.1',
    alpn: 'http/1.1',
    make: (identity, options, reached) => {
      const server = createSecureServer({ allowHTTP1: true }, (request, response) => {
        reached(peerOf(request).id.toString());
        response.end();
      });
      protect(server, identity, options);
      return server;
    },
  },
  {
    name: 'protect(a TLS server), with a listener put in front',
    alpn: 'http/1.1',
    make: (identity, options, reached) => {
      const server = createTlsServer({ ALPNProtocols: ['http/1.1'] });
      protect(server, identity, options);
      server.prependListener('secureConnection', (socket) => {
        reached(peerOf(socket).id.toString());
        socket.on('error', () => {});
        socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\n\r\n'));
      });
      return server;
    },
  },
  {
    name: 'createServer of gRPC',
    alpn: 'h2',
    protocol: 'grpc',
    make: (identity, options, reached) => {
      const seen: ServerInterceptor = (_, call) => {
        reached(peerOfCall(call).id.toString());
        return new ServerInterceptingCall(call);
      };
      const server = new GrpcServer({ interceptors: [seen] });
      server.addService(ECHO, {
        unary: (call: ServerUnaryCall<string, string>, done: sendUnaryData<string>) => {
          reached(peerOfCall(call).id.toString());
          done(null, 'hi');
        },
      });
      return createGrpcServer(identity, options, server);
    },
  },
];
