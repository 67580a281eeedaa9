import { once } from 'node:events';
import { connect, createServer, type Server, type TLSSocket } from 'node:tls';
import { listen } from '../support/listen.js';
import { type Credential, pemOf } from './credentials.js';

/** The versions of TLS that are spoken. */
export const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const;

/** A version of TLS. */
export type Version = (typeof VERSIONS)[number];

/** How a client of our own making ended. */
export interface Outcome {
  readonly received: Buffer;
  /** Of the error that ended it, if one did. */
  readonly code: string | undefined;
}

/**
 * A client that verifies nothing and writes `early` before the handshake has begun: under TLS 1.3 it leaves in one
 * flight with the Finished. Resolves when the server has closed, or when `enough` has come.
 */
export async function rawRequest(options: {
  readonly port: number;
  readonly version: Version;
  readonly presents: Credential | undefined;
  readonly alpn: string;
  readonly early: Uint8Array;
  readonly enough: (received: Buffer) => boolean;
}): Promise<Outcome> {
  const { port, version, presents, alpn, early, enough } = options;
  const socket = connect({
    port,
    host: '127.0.0.1',
    ...pemOf(presents),
    ALPNProtocols: [alpn],
    minVersion: version,
    maxVersion: version,
    rejectUnauthorized: false,
  });
  socket.write(early);
  let received = Buffer.alloc(0);
  let code: string | undefined;
  socket.on('error', (error: NodeJS.ErrnoException) => {
    code = error.code;
  });
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    if (enough(received)) socket.destroy();
  });
  await once(socket, 'close').catch(() => {});
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
  return { received, code };
}

/** A server of our own making, which verifies nothing and answers whatever comes. */
export interface RawServer {
  readonly port: number;
  /** Bytes of the application that it has been sent. */
  received(): number;
  close(): Promise<void>;
}

/** What is written whenever a connection has sent something: always the same, or made for each connection anew. */
export type Answer = string | (() => (chunk: Buffer) => Uint8Array | undefined);

/** Writes `answer` to whatever is sent. */
export async function rawServer(options: {
  readonly version: Version;
  readonly presents: Credential | undefined;
  readonly answer: Answer;
}): Promise<RawServer> {
  const sockets = new Set<TLSSocket>();
  let received = 0;
  const server: Server = createServer(
    {
      ...pemOf(options.presents),
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: options.version,
      maxVersion: options.version,
    },
    (socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      const { answer } = options;
      const answerTo = typeof answer === 'string' ? () => answer : answer();
      socket.on('data', (chunk: Buffer) => {
        received += chunk.length;
        socket.write(answerTo(chunk) ?? '');
      });
    },
  );
  return {
    port: await listen(server),
    received: () => received,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
