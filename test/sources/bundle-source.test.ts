import {
  type BundleSnapshot,
  BundleSource,
  type BundleSourceOptions,
  verifyJwtSvid,
  verifyX509Svid,
} from 'agent-spiffe';
import { WorkloadApiServer } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { type MemoryLogger, memoryLogger } from '../support/memory-logger.js';
import { rejection } from '../support/rejection.js';
import { until } from '../support/until.js';

const ID = 'spiffe://example.org/a';
const PARTNER = 'spiffe://partner.test/x';
const UNIMPLEMENTED = 12;
const INVALID_ARGUMENT = 3;
const PERMISSION_DENIED = 7;

describe('BundleSource', () => {
  let server: WorkloadApiServer;
  let logger: MemoryLogger;
  let source: BundleSource | undefined;

  beforeEach(async () => {
    logger = memoryLogger();
    server = await WorkloadApiServer.open({
      trustDomain: 'example.org',
      identities: [ID],
      federated: ['partner.test'],
    });
  });

  afterEach(async () => {
    await source?.close();
    source = undefined;
    await server.close();
  });

  async function open(options: BundleSourceOptions = {}): Promise<BundleSource> {
    source = await BundleSource.open({ address: server.address, logger, ...options });
    return source;
  }

  it('verifies the SVIDs of others, federated ones too, without one of its own', async () => {
    const bundles = await open();
    expect(bundles.state).to.equal('ready');
    for (const [id, ca] of [
      [ID, server.ca],
      [PARTNER, server.caOf('partner.test')],
    ] as const) {
      expect(String(verifyX509Svid(ca.issue(id).certificates, bundles.x509).id)).to.equal(id);
      const { token } = await ca.issueJwt(id, { audience: 'reports' });
      const svid = await verifyJwtSvid(token, bundles.jwt, { audience: 'reports' });
      expect(String(svid.id)).to.equal(id);
    }
    expect(server.callCount('FetchX509SVID')).to.equal(0);
    expect(server.callCount('FetchJWTSVID')).to.equal(0);
    expect(bundles.x509.get('other.test')).to.equal(undefined);
    expect(bundles.jwt.get('other.test')).to.equal(undefined);
  });

  it('WLA-05 WLA-27: follows what changes, and forgets a trust domain that goes', async () => {
    const bundles = await open();
    const seen: BundleSnapshot[] = [];
    const reader = (async () => {
      for await (const snapshot of bundles.updates()) seen.push(snapshot);
    })();
    server.rotateJwtKey();
    await until(() => bundles.jwt.get('example.org')?.keyIds.length === 2);
    const before = bundles.x509.get('example.org');
    server.rotateCa();
    await until(() => bundles.x509.get('example.org') !== before);
    expect(bundles.x509.get('example.org')?.equals(server.ca.bundle)).to.equal(true);
    server.unfederate('partner.test');
    await until(() => bundles.x509.get('partner.test') === undefined);
    await until(() => bundles.jwt.get('partner.test') === undefined);
    expect(bundles.jwt.get('example.org')?.keyIds).to.have.length(2);
    await bundles.close();
    await reader;
    expect(seen.map(({ sequence }) => sequence)).to.deep.equal(
      seen.map(({ sequence }) => sequence).toSorted((a, b) => a - b),
    );
    expect(seen.at(-1)?.state).to.equal('closed');
    for (const snapshot of seen) expect(snapshot).to.be.frozen;
    expect(seen[0]?.x509.get('partner.test'), 'what was seen stays').not.to.equal(undefined);
  });

  it('WLA-26 WLA-27: is revoked by PermissionDenied and holds nothing then; ready again after', async () => {
    const bundles = await open();
    server.withdraw();
    await until(() => bundles.state === 'revoked');
    await until(() => bundles.x509.get('example.org') === undefined);
    await until(() => bundles.jwt.get('example.org') === undefined);
    server.restore();
    await until(() => bundles.state === 'ready');
    expect(bundles.jwt.get('example.org')?.equals(server.ca.jwtBundle)).to.equal(true);
  });

  it('A-18: is stale while the endpoint is away, and holds what it has', async () => {
    const bundles = await open();
    await server.goOffline();
    await until(() => bundles.state === 'stale');
    expect(bundles.x509.get('example.org')?.equals(server.ca.bundle)).to.equal(true);
    expect(bundles.jwt.get('example.org')?.equals(server.ca.jwtBundle)).to.equal(true);
    await server.goOnline();
    await until(() => bundles.state === 'ready');
  });

  it('WLA-26: waits for an endpoint that denies at first', async () => {
    server.withdraw();
    const opening = open();
    await until(() => logger.at('warn').length > 0);
    server.restore();
    expect((await opening).state).to.equal('ready');
  });

  it('A-25: serves one kind where the endpoint does not offer the other', async () => {
    server.failWith(UNIMPLEMENTED, 'no X.509 here', { times: 1 });
    const bundles = await open();
    expect(bundles.state).to.equal('ready');
    expect(bundles.x509.get('example.org')).to.equal(undefined);
    expect(bundles.jwt.get('example.org')?.equals(server.ca.jwtBundle)).to.equal(true);
    expect(logger.at('error')).to.have.length(1);
    expect(logger.at('error')[0]?.message).to.include('no X.509 here');
    server.withdraw();
    await until(() => bundles.state === 'revoked');
  });

  it('WLE-12: does not open where the endpoint refuses both for good', async () => {
    server.failWith(INVALID_ARGUMENT, 'not here');
    const error = await rejection('ERR_SPIFFE_WORKLOAD_API_REJECTED', open());
    expect(error).to.include({ grpcStatus: INVALID_ARGUMENT });
    expect(server.callCount()).to.equal(2);
    await server.idle();
  });

  it('is failed for good when both are refused later, and its readers end', async () => {
    const bundles = await open();
    server.failWith(INVALID_ARGUMENT, 'no longer');
    server.endStreams(INVALID_ARGUMENT, 'no longer');
    const states: string[] = [];
    for await (const { state } of bundles.updates()) states.push(state);
    expect(states.at(-1)).to.equal('failed');
    expect(bundles.jwt.get('example.org')).to.equal(undefined);
    await bundles.close();
    expect(bundles.state).to.equal('closed');
  });

  it('opens in time or not at all, and says what to look at', async () => {
    server.failWith(PERMISSION_DENIED, 'nobody knows you');
    const error = await rejection('ERR_SPIFFE_OPEN_TIMEOUT', open({ timeoutMs: 100 }));
    expect(error.message).to.match(/^no bundles came from .* within 100 ms: .*nobody knows you/);
    await server.idle();
  });

  it('opens until it is aborted', async () => {
    await server.goOffline();
    const controller = new AbortController();
    const opening = open({ signal: controller.signal }).catch((reason: unknown) => reason);
    await until(() => logger.at('warn').length > 0);
    const reason = new Error('enough');
    controller.abort(reason);
    expect(await opening).to.equal(reason);
    const late = open({ signal: controller.signal }).catch((error: unknown) => error);
    expect(await late).to.equal(reason);
  });

  for (const [what, options, says] of [
    ['a time of 0', { timeoutMs: 0 }, 'timeoutMs'],
    ['a logger that logs nothing', { logger: {} as never }, 'the logger has no method debug'],
    ['an unknown limit', { limits: { all: 1 } as never }, 'there is no limit'],
  ] as const) {
    it(`calls nobody for ${what}`, async () => {
      const error = await rejection('ERR_SPIFFE_OPTION_INVALID', open(options));
      expect(error.message).to.include(says);
      expect(server.callCount()).to.equal(0);
    });
  }

  it('calls nobody at a bad address', async () => {
    await rejection('ERR_SPIFFE_ADDRESS_INVALID', open({ address: 'http://example.org' }));
  });

  it('is closed: holds nothing, ends its streams, and is safe to close twice', async () => {
    {
      await using bundles = await open();
      await bundles.close();
      await bundles.close();
      expect(bundles.state).to.equal('closed');
      expect(bundles.x509.get('example.org')).to.equal(undefined);
      expect(bundles.jwt.get('example.org')).to.equal(undefined);
    }
    await server.idle();
  });

  it('shows its state as JSON', async () => {
    const bundles = await open();
    expect(JSON.parse(JSON.stringify(bundles))).to.deep.include({
      state: 'ready',
      x509: ['example.org', 'partner.test'],
      jwt: ['example.org', 'partner.test'],
    });
  });

  it('ends the wait of a reader by its signal', async () => {
    const bundles = await open();
    const controller = new AbortController();
    const reason = new Error('enough');
    const reading = (async () => {
      for await (const { state } of bundles.updates({ signal: controller.signal }))
        if (state === 'ready') controller.abort(reason);
    })().catch((error: unknown) => error);
    expect(await reading).to.equal(reason);
    expect(bundles.state).to.equal('ready');
  });

  describe('of what is malformed', () => {
    const garbage = Buffer.from('garbage');

    for (const [what, jwt, says] of [
      ['no key set', garbage, 'not a JSON object'],
      ['too large', Buffer.alloc(1001), 'above the limit of 1000'],
    ] as const) {
      it(`loses that trust domain alone: a JWT bundle that is ${what}`, async () => {
        server.corruptJwtBundles(({ bundles: right }) => ({
          bundles: new Map([...right, ['spiffe://partner.test', jwt]]),
        }));
        const bundles = await open({ limits: { bundleBytes: 1000 } });
        expect(bundles.jwt.get('partner.test')).to.equal(undefined);
        expect(bundles.jwt.get('example.org')?.equals(server.ca.jwtBundle)).to.equal(true);
        const [line] = logger.at('warn');
        expect(line?.message).to.include(says).and.to.include('spiffe://partner.test');
        server.resend();
        await until(() => bundles.jwt.get('partner.test') !== undefined);
      });
    }

    it('loses that trust domain alone: an X.509 bundle that is no DER', async () => {
      server.corruptBundles((message) => ({
        ...message,
        bundles: new Map([...message.bundles, ['spiffe://partner.test', garbage]]),
      }));
      const bundles = await open();
      expect(bundles.x509.get('partner.test')).to.equal(undefined);
      expect(bundles.x509.get('example.org')?.equals(server.ca.bundle)).to.equal(true);
      expect(bundles.jwt.get('partner.test')).not.to.equal(undefined);
    });

    for (const [what, key, says] of [
      ['the ID of a workload', 'spiffe://partner.test/x', 'the ID of a workload'],
      ['a bare name', 'partner.test', 'cannot parse'],
      ['upper case', 'spiffe://Partner.test', 'cannot parse'],
    ] as const) {
      it(`WLA-25 WLA-33: passes over a bundle under ${what}`, async () => {
        server.corruptJwtBundles(({ bundles: right }) => ({
          bundles: new Map([
            ['spiffe://example.org', right.get('spiffe://example.org') ?? garbage],
            [key, right.get('spiffe://partner.test') ?? garbage],
          ]),
        }));
        const bundles = await open();
        expect(bundles.jwt.get('partner.test')).to.equal(undefined);
        expect(bundles.jwt.get('example.org')).not.to.equal(undefined);
        expect(logger.at('warn')[0]?.message).to.include(says);
      });
    }

    it('A-19: names an entry that was left out of a key set, and takes the rest', async () => {
      server.corruptJwtBundles(({ bundles: right }) => ({
        bundles: new Map(
          Array.from(right, ([id, set]) => [
            id,
            Buffer.from(JSON.stringify({ keys: [{ kid: 'bad', kty: 'EC' }, ...keysOf(set)] })),
          ]),
        ),
      }));
      const bundles = await open();
      expect(bundles.jwt.get('example.org')?.equals(server.ca.jwtBundle)).to.equal(true);
      expect(logger.at('warn')).to.have.length(2);
      expect(logger.at('warn')[0]?.message).to.include('left out the entry with kid "bad"');
    });

    it('WLA-11: keeps what it has where a message has no bundles, too many, or is none', async () => {
      const bundles = await open({ limits: { bundles: 2 } });
      const lies = [
        (): Uint8Array => Buffer.from([0xff]),
        () => ({ bundles: new Map<string, Uint8Array>() }),
        () => ({
          bundles: new Map(['a', 'b', 'c'].map((name) => [`spiffe://${name}`, garbage])),
        }),
      ];
      for (const [at, lie] of lies.entries()) {
        server.corruptJwtBundles(lie);
        server.resend();
        await until(() => logger.at('warn').length === at + 1);
        expect(bundles.state).to.equal('ready');
        expect(bundles.jwt.get('example.org')?.equals(server.ca.jwtBundle)).to.equal(true);
      }
      const says = logger.at('warn').map(({ message }) => message);
      expect(says[1]).to.include('holds no bundle');
      expect(says[2]).to.include('3 bundles, above the limit of 2');
    });
  });

  it('WLA-50: keeps the objects of what has not changed, though SPIRE gives its keys in any order', async () => {
    server.rotateJwtKey();
    const bundles = await open();
    const held = bundles.jwt.get('example.org');
    const { sequence } = await firstOf(bundles);
    server.corruptJwtBundles(({ bundles: right }) => ({
      bundles: new Map(
        Array.from(right, ([id, set]) => {
          return [id, Buffer.from(JSON.stringify({ keys: keysOf(set).toReversed() }))];
        }),
      ),
    }));
    server.resend();
    server.federate('third.test');
    await until(() => bundles.jwt.get('third.test') !== undefined);
    await until(() => bundles.x509.get('third.test') !== undefined);
    expect(bundles.jwt.get('example.org')).to.equal(held);
    expect((await firstOf(bundles)).sequence).to.equal(sequence + 2);
  });
});

function keysOf(set: Uint8Array): readonly unknown[] {
  return (JSON.parse(Buffer.from(set).toString()) as { keys: unknown[] }).keys;
}

async function firstOf(source: BundleSource): Promise<BundleSnapshot> {
  for await (const snapshot of source.updates()) return snapshot;
  throw new Error('there is always a present state');
}
