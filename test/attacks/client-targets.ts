import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { text } from 'node:stream/consumers';
import { type ServiceError, status } from '@grpc/grpc-js';
import type { Identity, PeerRule } from 'agent-spiffe';
import { createChannelCredentials } from 'agent-spiffe/grpc';
import { createAgent, createDispatcher, createFetch, type Peers } from 'agent-spiffe/http';
import { expect } from 'chai';
import { request } from 'undici';
import { connect } from '#lib/tls/connect.js';
import { parseRule } from '#lib/tls/rule.js';
import { EchoClient } from '../support/grpc.js';

/** A kind of client that stands behind the gate. */
export interface ClientTarget {
  readonly name: string;
  readonly protocol: 'http/1.1' | 'grpc';
  /** Sends one request to `https://127.0.0.1:<port>/`, whose server must meet `rule`, and gives the answer's body. */
  call(identity: Identity, port: number, rule: PeerRule, timeoutMs?: number): Promise<string>;
}

const originAt = (port: number): string => `https://127.0.0.1:${port}`;

/** One for each way to make a client behind the gate. */
export const CLIENT_TARGETS: readonly ClientTarget[] = [
  {
    name: 'connect',
    protocol: 'http/1.1',
    call: async (identity, port, rule, timeoutMs = 10_000) => {
      const at = { host: '127.0.0.1', port, rule: parseRule(rule), timeoutMs };
      const socket = await connect(identity, at);
      socket.write('GET / HTTP/1.1\r\nHost: target\r\n\r\n');
      const [answer] = (await once(socket, 'data')) as [Buffer];
      socket.destroy();
      return answer.toString('latin1').split('\r\n\r\n')[1] ?? '';
    },
  },
  {
    name: 'createFetch',
    protocol: 'http/1.1',
    call: async (identity, port, rule, connectTimeoutMs = 10_000) => {
      const peers: Peers = { [originAt(port)]: rule };
      await using fetch = createFetch(identity, { peers, connectTimeoutMs });
      return await (await fetch(`${originAt(port)}/`)).text();
    },
  },
  {
    name: 'createDispatcher',
    protocol: 'http/1.1',
    call: async (identity, port, rule, connectTimeoutMs = 10_000) => {
      const peers: Peers = { [originAt(port)]: rule };
      const dispatcher = createDispatcher(identity, { peers, connectTimeoutMs });
      try {
        const { body } = await request(`${originAt(port)}/`, { dispatcher });
        return await body.text();
      } finally {
        await dispatcher.close();
      }
    },
  },
  {
    name: 'createAgent',
    protocol: 'http/1.1',
    call: async (identity, port, rule, connectTimeoutMs = 10_000) => {
      const peers: Peers = { [originAt(port)]: rule };
      const agent = createAgent(identity, { peers, connectTimeoutMs });
      try {
        const sent = get(`${originAt(port)}/`, { agent });
        const [response] = (await once(sent, 'response')) as [IncomingMessage];
        return await text(response);
      } finally {
        agent.destroy();
      }
    },
  },
  {
    name: 'createChannelCredentials',
    protocol: 'grpc',
    call: async (identity, port, rule, handshakeTimeoutMs = 10_000) => {
      using credentials = createChannelCredentials(identity, { peer: rule, handshakeTimeoutMs });
      using client = new EchoClient(`127.0.0.1:${port}`, credentials);
      try {
        return await client.unary('x');
      } catch (error) {
        const failure = credentials.lastFailure;
        if (!(failure instanceof Error)) throw error;
        // What grpc-js tells whoever called.
        expect((error as ServiceError).code).to.equal(status.UNAVAILABLE);
        expect((error as ServiceError).details).to.include(failure.message);
        throw failure;
      }
    },
  },
];
