import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { credentials as plain, Server, ServerCredentials, status } from '@grpc/grpc-js';
import { type PeerRule, UNAUTHENTICATED_CLIENTS } from 'agent-spiffe';
import {
  createChannelCredentials,
  createServer,
  peerOf,
  type RequirePeerOptions,
  requirePeer,
} from 'agent-spiffe/grpc';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { ECHO, EchoClient, EchoServer, failureOf } from '../../support/grpc.js';
import { memoryLogger } from '../../support/memory-logger.js';
import { refusal } from '../../support/refusal.js';
import { staticIdentity } from '../../support/static-identity.js';
import { staticVerifier } from '../../support/web.js';

const AGENT = 'spiffe://example.org/agents/researcher';
const ADMIN = 'spiffe://example.org/admins/root';
const TOOLS = 'spiffe://example.org/tools/search';
const ca = TestCa.create('example.org');
const EVERYONE = 'spiffe://example.org/**';

const clientOf = (echo: EchoServer, id: string): EchoClient =>
  new EchoClient(echo.target, createChannelCredentials(staticIdentity(ca, id), { peer: TOOLS }));

describe('requirePeer of gRPC', () => {
  it('narrows a whole server: others get PERMISSION_DENIED on calls of every kind, and reach no handler', async () => {
    const logger = memoryLogger();
    const only = [requirePeer(ADMIN, { logger })];
    await using echo = await EchoServer.open(staticIdentity(ca, TOOLS), { allow: EVERYONE }, only);
    using agent = clientOf(echo, AGENT);
    const download = agent.download('hold');
    const talk = agent.talk();
    talk.write('hey');
    const outcomes: readonly Promise<unknown>[] = [
      agent.unary('you'),
      agent.upload(['a', 'b']),
      once(download, 'data'),
      once(talk, 'data'),
    ];
    for (const { code, details } of await Promise.all(outcomes.map(failureOf))) {
      expect(code).to.equal(status.PERMISSION_DENIED);
      expect(details).to.not.include(ADMIN);
    }
    expect(echo.calls).to.deep.equal([]);
    const told = logger.at('warn').map(({ fields }) => fields);
    expect(told).to.have.length(4);
    expect(told.map(({ method }) => method)).to.have.members(
      Object.values(ECHO).map(({ path }) => path),
    );
    for (const fields of told)
      expect(fields).to.include({ peer: AGENT, reason: 'the rule says no' });

    using admin = clientOf(echo, ADMIN);
    expect(await admin.unary('you')).to.equal('hello you');
    expect(await admin.upload(['a', 'b'])).to.equal('a+b');
  });

  const narrowed: readonly (readonly [string, RequirePeerOptions, readonly boolean[]])[] = [
    ['a method', { of: ECHO.unary }, [false, true]],
    ['a list', { of: [ECHO.talk, ECHO.upload] }, [true, false]],
    ['a service', { of: ECHO }, [false, false]],
  ];
  for (const [title, options, expected] of narrowed) {
    it(`narrows ${title} and leaves the rest as it is`, async () => {
      const only = [requirePeer(ADMIN, options)];
      await using echo = await EchoServer.open(
        staticIdentity(ca, TOOLS),
        { allow: EVERYONE },
        only,
      );
      using agent = clientOf(echo, AGENT);
      const outcomes = await Promise.allSettled([agent.unary('you'), agent.upload(['a'])]);
      expect(outcomes.map((outcome) => outcome.status === 'fulfilled')).to.deep.equal(expected);
    });
  }

  it('gives UNAUTHENTICATED to a client without an SVID', async () => {
    const only = [requirePeer(EVERYONE)];
    const options = { allow: UNAUTHENTICATED_CLIENTS } as const;
    await using echo = await EchoServer.open(staticIdentity(ca, TOOLS), options, only);
    using credentials = createChannelCredentials(staticVerifier(ca), { peer: TOOLS });
    using nobody = new EchoClient(echo.target, credentials);
    expect((await failureOf(nobody.unary('you'))).code).to.equal(status.UNAUTHENTICATED);
    expect(echo.calls).to.deep.equal([]);
    using agent = clientOf(echo, AGENT);
    expect(await agent.unary('you')).to.equal('hello you');
  });

  it('gives UNAUTHENTICATED to whoever comes by a port without a gate, where peerOf throws', async () => {
    for (const interceptors of [[requirePeer(EVERYONE)], []]) {
      await using echo = await EchoServer.open(
        staticIdentity(ca, TOOLS),
        { allow: EVERYONE },
        interceptors,
      );
      const port = await new Promise<number>((resolve, reject) => {
        echo.server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
          error === null ? resolve(bound) : reject(error),
        );
      });
      using client = new EchoClient(`127.0.0.1:${port}`, plain.createInsecure());
      if (interceptors.length > 0) {
        expect((await failureOf(client.unary('you'))).code).to.equal(status.UNAUTHENTICATED);
        expect(echo.calls).to.deep.equal([]);
      } else {
        await client.unary('you');
        refusal('ERR_SPIFFE_PEER_UNKNOWN', 'no gate', () => peerOf(echo.calls[0] as never));
      }
    }
  });

  it('refuses what is no rule and no method, where it is written', () => {
    refusal('ERR_SPIFFE_PEER_RULE_INVALID', '', () =>
      requirePeer(undefined as unknown as PeerRule),
    );
    for (const of of [undefined, [], {}, 'unary', { path: 1 }])
      refusal('ERR_SPIFFE_OPTION_INVALID', 'definition of a service', () =>
        requirePeer(EVERYONE, { of } as RequirePeerOptions),
      );
  });
});

describe('createServer of gRPC', () => {
  it('closes with tryShutdown of its server, once the calls in flight have ended', async () => {
    await using echo = await EchoServer.open(staticIdentity(ca, TOOLS), { allow: AGENT });
    using client = clientOf(echo, AGENT);
    const talk = client.talk();
    talk.write('hey');
    await once(talk, 'data');
    let ended = false;
    const down = new Promise<void>((resolve, reject) => {
      echo.server.tryShutdown((error) => {
        ended = true;
        if (error === undefined) resolve();
        else reject(error);
      });
    });
    talk.write('still here');
    expect(await once(talk, 'data')).to.deep.equal(['still here!']);
    expect(ended).to.equal(false);
    expect(echo.port.listening).to.equal(false);
    talk.end();
    talk.resume();
    await once(talk, 'end');
    await down;
    using late = clientOf(echo, AGENT);
    expect((await failureOf(late.unary('you'))).code).to.equal(status.UNAVAILABLE);
  });

  it('closes at once with forceShutdown, also what has not shaken hands yet', async () => {
    await using echo = await EchoServer.open(staticIdentity(ca, TOOLS), { allow: AGENT });
    using client = clientOf(echo, AGENT);
    const held = client.download('hold');
    await once(held, 'data');
    const arrived = once(echo.port, 'connection') as Promise<[Socket]>;
    const silent = connect(Number(echo.target.split(':')[1]), '127.0.0.1');
    silent.on('error', () => {});
    await arrived;
    const ends = Promise.all([
      once(held, 'error'),
      once(silent, 'close'),
      once(echo.port, 'close'),
    ]);
    echo.server.forceShutdown();
    await ends;
  });

  it('gives up on a client that never shakes hands', async () => {
    const options = { allow: AGENT, handshakeTimeoutMs: 50 };
    await using echo = await EchoServer.open(staticIdentity(ca, TOOLS), options);
    const silent = connect(Number(echo.target.split(':')[1]), '127.0.0.1');
    silent.on('error', () => {}).resume();
    await once(silent, 'close');
    using client = clientOf(echo, AGENT);
    expect(await client.unary('you')).to.equal('hello you');
  });

  it('refuses wrong options where they are written, and leaves the server as it was', () => {
    const me = staticIdentity(ca, TOOLS);
    const server = new Server();
    const invalid = 'ERR_SPIFFE_OPTION_INVALID';
    refusal('ERR_SPIFFE_PEER_RULE_INVALID', '', () => createServer(me, {} as never, server));
    refusal(invalid, 'options', () => createServer(me, undefined as never, server));
    refusal(invalid, 'identity', () =>
      createServer(staticVerifier(ca) as never, { allow: AGENT }, server),
    );
    refusal(invalid, '@grpc/grpc-js', () =>
      createServer(me, { allow: AGENT }, undefined as unknown as Server),
    );
    expect(Object.keys(server)).to.not.include('tryShutdown');
    refusal(invalid, 'options', () => createChannelCredentials(me, TOOLS as never));
    refusal('ERR_SPIFFE_PEER_RULE_INVALID', '', () => createChannelCredentials(me, {} as never));
    refusal(invalid, 'handshakeTimeoutMs', () =>
      createChannelCredentials(me, { peer: TOOLS, handshakeTimeoutMs: 0 }),
    );
  });
});
