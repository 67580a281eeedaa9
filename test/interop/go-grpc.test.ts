import { once } from 'node:events';
import {
  Client,
  Metadata,
  Server,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { createChannelCredentials, createServer, peerOf } from 'agent-spiffe/grpc';
import { expect } from 'chai';
import { failureOf } from '../support/grpc.js';
import { ask, describeInterop, Program } from '../support/interop.js';
import { listen } from '../support/listen.js';
import { StaticJwtSource } from '../support/static-jwt.js';
import { OURS, sides, THEIRS } from './mtls-peer.js';

const asTheyAre = (bytes: Buffer): Buffer => bytes;
/** grpc.health.v1.Health/Check; its answer is an enum in field 1. */
const CHECK = {
  path: '/grpc.health.v1.Health/Check',
  requestStream: false,
  responseStream: false,
  requestSerialize: asTheyAre,
  requestDeserialize: asTheyAre,
  responseSerialize: asTheyAre,
  responseDeserialize: asTheyAre,
} as const;
const SERVING = Buffer.of(8, 1);

function check(client: Client): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const nothing = Buffer.alloc(0);
    client.makeUnaryRequest(
      CHECK.path,
      asTheyAre,
      asTheyAre,
      nothing,
      new Metadata(),
      (error, answer) => (error === null ? resolve(answer ?? nothing) : reject(error)),
    );
  });
}

describeInterop('go', 'go-spiffe over gRPC', () => {
  it('answers our client, which sends it a JWT-SVID, and is refused under another rule', async () => {
    await using both = await sides();
    const jwt = new StaticJwtSource(both.api.ca, OURS);
    const me = { ...both.me, jwt };
    const allow = ['-socket', both.api.address, '-peer', OURS];
    await using program = Program.start('go', ['serve-grpc', ...allow]);
    const target = `127.0.0.1:${String((await program.next())['port'])}`;

    using wrong = createChannelCredentials(me, { peer: OURS });
    using wrongClient = new ClosingClient(target, wrong);
    expect((await failureOf(check(wrongClient))).details).to.include('ERR_SPIFFE_PEER_NOT_ALLOWED');

    using right = createChannelCredentials(me, { peer: THEIRS, jwtAudience: 'health' });
    using client = new ClosingClient(target, right);
    expect(await check(client)).to.deep.equal(SERVING);
    const { peer, authorization } = await program.next();
    expect(peer).to.equal(OURS);
    expect(authorization).to.have.length(1);
    const [value] = authorization as string[];
    const token = value?.replace(/^Bearer /, '') ?? '';
    expect((await jwt.verify(token, { audience: 'health' })).id.toString()).to.equal(OURS);
  });

  it('does not let us in where it allows another, and we say so', async () => {
    await using both = await sides();
    const allow = ['-socket', both.api.address, '-peer', THEIRS];
    await using program = Program.start('go', ['serve-grpc', ...allow]);
    const target = `127.0.0.1:${String((await program.next())['port'])}`;
    using credentials = createChannelCredentials(both.me, { peer: THEIRS });
    using client = new ClosingClient(target, credentials);
    const { code, details } = await failureOf(check(client));
    expect(code).to.equal(status.UNAVAILABLE);
    expect(details).to.include('[ERR_SPIFFE_REFUSED_BY_PEER]').and.include(OURS);
  });

  for (const [title, allow, answered] of [
    ['calls our server', THEIRS, true],
    ['is not let in by our server where that allows another', OURS, false],
  ] as const) {
    it(title, async () => {
      await using both = await sides();
      const peers: string[] = [];
      const server = new Server();
      server.addService(
        { check: CHECK },
        {
          check: (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => {
            peers.push(peerOf(call).id.toString());
            done(null, SERVING);
          },
        },
      );
      const port = createServer(both.me, { allow }, server);
      const target = `127.0.0.1:${await listen(port)}`;
      const call = ['call-grpc', '-socket', both.api.address, '-peer', OURS, '-target', target];
      const outcome = await ask('go', ...call).catch((error: unknown) => error);
      if (answered) expect(outcome).to.deep.equal({ status: 'SERVING' });
      else expect(outcome).to.have.property('message').that.includes('Unavailable');
      expect(peers).to.deep.equal(answered ? [THEIRS] : []);
      const closed = once(port, 'close');
      server.forceShutdown();
      await closed;
    });
  }
});

class ClosingClient extends Client implements Disposable {
  [Symbol.dispose](): void {
    this.close();
  }
}
