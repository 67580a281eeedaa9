import { once } from 'node:events';
import type { IncomingMessage, Server } from 'node:http';
import { request } from 'node:https';
import { json, text } from 'node:stream/consumers';
import { type PeerRule, SpiffeError, type SpiffeErrorCode } from 'agent-spiffe';
import { createAgent, createFetch, createServer, peerOf } from 'agent-spiffe/http';
import { TestCa, type TestCaOptions, WorkloadApiServer } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { ask, type Line, Program, ProgramError } from '../support/interop.js';
import { type Peer, shows } from '../support/interop-matrix.js';
import { listen } from '../support/listen.js';
import { type StaticIdentity, staticIdentity } from '../support/static-identity.js';
import type { Language } from './programs.mjs';

export const OURS = 'spiffe://example.org/agents/researcher';
export const THEIRS = 'spiffe://example.org/peer';

/** How a program in another language is told to serve and to call. */
export interface MtlsPeer {
  readonly name: Peer;
  readonly language: Language;
  serve(socket: string, peer: string): readonly string[];
  call(socket: string, peer: string, port: number): readonly string[];
}

export const GO: MtlsPeer = {
  name: 'go-spiffe',
  language: 'go',
  serve: (socket, peer) => ['serve', '-socket', socket, '-peer', peer],
  call: (socket, peer, port) => {
    const url = `https://127.0.0.1:${port}/`;
    return ['call', '-socket', socket, '-peer', peer, '-url', url];
  },
};

export const RUST: MtlsPeer = {
  name: 'rust-spiffe',
  language: 'rust',
  serve: (socket, peer) => ['serve', socket, peer],
  call: (socket, peer, port) => ['call', socket, peer, `127.0.0.1:${port}`],
};

/** The other side's Workload API, which is our development server, and an identity of ours beside it. */
export interface Sides extends AsyncDisposable {
  readonly api: WorkloadApiServer;
  readonly me: StaticIdentity;
}

export async function sides(options: TestCaOptions = {}): Promise<Sides> {
  const { keyType, intermediate } = options;
  const api = await WorkloadApiServer.open({
    trustDomain: 'example.org',
    identities: [THEIRS],
    ...(keyType === undefined ? {} : { keyType }),
    ...(intermediate === undefined ? {} : { intermediate }),
  });
  return {
    api,
    me: staticIdentity(api.ca, OURS),
    [Symbol.asyncDispose]: () => api.close(),
  };
}

/** A server of ours that answers with who it was asked by, and counts how often its handler was reached. */
export async function ourServer(
  me: StaticIdentity,
  allow: PeerRule,
): Promise<AsyncDisposable & { readonly port: number; readonly asked: () => number }> {
  let asked = 0;
  const server: Server = createServer(me, { allow }, (req, res) => {
    asked++;
    void text(req).then((body) => res.end(`${req.method} ${body} by ${peerOf(req).id}`));
  });
  const port = await listen(server);
  return {
    port,
    asked: () => asked,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

/** Starts the other side's server; `end` it, or leave it to `await using`. */
export async function theirServer(
  peer: MtlsPeer,
  socket: string,
  allow: string,
  ...more: readonly string[]
): Promise<AsyncDisposable & { readonly program: Program; readonly origin: string }> {
  const program = Program.start(peer.language, [...peer.serve(socket, allow), ...more]);
  const { port } = await program.next();
  return {
    program,
    origin: `https://127.0.0.1:${String(port)}`,
    [Symbol.asyncDispose]: () => program.end(),
  };
}

export async function fetched(me: StaticIdentity, origin: string, peer: string): Promise<Line> {
  await using fetch = createFetch(me, { peers: { [origin]: peer } });
  const response = await fetch(origin, { method: 'POST', body: 'by fetch' });
  expect(response.status).to.equal(200);
  return (await response.json()) as Line;
}

async function requested(me: StaticIdentity, origin: string, peer: string): Promise<Line> {
  const agent = createAgent(me, { peers: { [origin]: peer }, keepAlive: false });
  const sent = request(origin, { agent, method: 'POST' });
  sent.end('by agent');
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const said = (await json(response)) as Line;
  agent.destroy();
  return said;
}

async function refusedWith(code: SpiffeErrorCode, run: () => Promise<unknown>): Promise<void> {
  const error = await run().then(
    (said) => expect.fail(`it was answered: ${JSON.stringify(said)}`),
    (thrown: unknown) => thrown,
  );
  expect(error).to.be.instanceOf(SpiffeError);
  expect((error as SpiffeError).code, String(error)).to.equal(code);
}

async function gaveUp(run: () => Promise<unknown>): Promise<void> {
  const error = await run().then(
    (said) => expect.fail(`it was answered: ${JSON.stringify(said)}`),
    (thrown: unknown) => thrown,
  );
  expect(error).to.be.instanceOf(ProgramError);
}

/** What holds between us and every peer that speaks mutual TLS. */
export function mtlsSuite(peer: MtlsPeer): void {
  const { name, language } = peer;

  shows(name, 'client', 'calls our server, and each knows the other', async () => {
    await using both = await sides();
    await using server = await ourServer(both.me, THEIRS);
    const said = await ask(language, ...peer.call(both.api.address, OURS, server.port));
    expect(said).to.include({
      status: 200,
      peer: OURS,
      body: `POST from ${language} by ${THEIRS}`,
    });
  });

  shows(name, 'client', 'does not reach our handler where our rule names another', async () => {
    await using both = await sides();
    await using server = await ourServer(both.me, 'spiffe://example.org/another');
    await gaveUp(() => ask(language, ...peer.call(both.api.address, OURS, server.port)));
    expect(server.asked()).to.equal(0);
  });

  shows(name, 'client', 'sends nothing to our server where it expects another', async () => {
    await using both = await sides();
    await using server = await ourServer(both.me, THEIRS);
    const another = 'spiffe://example.org/another';
    await gaveUp(() => ask(language, ...peer.call(both.api.address, another, server.port)));
    expect(server.asked()).to.equal(0);
  });

  for (const [ability, send] of [
    ['fetch', fetched],
    ['agent', requested],
  ] as const) {
    shows(name, ability, `answers our ${ability}, and each knows the other`, async () => {
      await using both = await sides();
      await using server = await theirServer(peer, both.api.address, OURS);
      const said = await send(both.me, server.origin, THEIRS);
      expect(said).to.include({ peer: OURS, method: 'POST', body: `by ${ability}` });
    });

    shows(name, ability, `is sent nothing by our ${ability} under another's rule`, async () => {
      await using both = await sides();
      await using server = await theirServer(peer, both.api.address, OURS);
      await refusedWith('ERR_SPIFFE_PEER_NOT_ALLOWED', () =>
        send(both.me, server.origin, 'spiffe://example.org/another'),
      );
    });

    shows(
      name,
      ability,
      `refuses our ${ability}, which says so, when it expects another`,
      async () => {
        await using both = await sides();
        await using server = await theirServer(
          peer,
          both.api.address,
          'spiffe://example.org/another',
        );
        await refusedWith('ERR_SPIFFE_REFUSED_BY_PEER', () => send(both.me, server.origin, THEIRS));
      },
    );
  }

  for (const options of [
    { keyType: 'ec-p384' },
    { keyType: 'rsa-2048' },
    { intermediate: true },
  ] as const) {
    const kind = 'keyType' in options ? `keys of kind ${options.keyType}` : 'an intermediate CA';
    shows(name, 'client', `calls our server with ${kind} on both sides`, async () => {
      await using both = await sides(options);
      await using server = await ourServer(both.me, THEIRS);
      const said = await ask(language, ...peer.call(both.api.address, OURS, server.port));
      expect(said).to.include({ status: 200, peer: OURS });
    });
    shows(name, 'fetch', `answers our fetch with ${kind} on both sides`, async () => {
      await using both = await sides(options);
      await using server = await theirServer(peer, both.api.address, OURS);
      expect(await fetched(both.me, server.origin, THEIRS)).to.include({ peer: OURS });
    });
  }

  it('is known across federated trust domains both ways, and not without the bundle', async () => {
    await using both = await sides();
    const partner = TestCa.create('partner.test');
    const us = 'spiffe://partner.test/us';
    const me = staticIdentity(partner, us, [both.api.ca]);
    await using server = await ourServer(me, THEIRS);
    const call = (): Promise<Line> =>
      ask(language, ...peer.call(both.api.address, us, server.port));
    await gaveUp(call);
    both.api.federate(partner);
    expect(await call()).to.include({ status: 200, peer: us });
    await using theirs = await theirServer(peer, both.api.address, us);
    expect(await fetched(me, theirs.origin, THEIRS)).to.include({ peer: us });
  });
}
