import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { JwtBundles, verifyJwtSvid } from 'agent-spiffe';
import { WorkloadApiServer } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { SPIRE_VERSION } from '../../spire-config/binaries.mjs';
import { ask, describeInterop, type Line, Program } from '../support/interop.js';
import { noteVersion, type Peer, shows } from '../support/interop-matrix.js';
import { splitCertificates } from '../support/openssl-verdicts.js';
import { describeSpire, spireAvailable } from '../support/spire.js';
import { RawClient } from '../support/workload-api-client.js';
import type { Language } from './programs.mjs';

const AUDIENCE = 'reports';
const IDENTITIES = [
  { id: 'spiffe://example.org/agents/researcher', hint: 'researcher' },
  { id: 'spiffe://example.org/tools/search' },
] as const;

/** A peer's view of a Workload API, certificates as base64 DER. */
interface X509View {
  readonly svids: readonly {
    readonly id: string;
    /** Not every peer tells it. */
    readonly hint?: string;
    readonly chain: readonly string[];
  }[];
  readonly bundles: Readonly<Record<string, readonly string[]>>;
}

function open(
  options: { readonly jwtAlgorithm?: 'ES256' | 'RS256' } = {},
): Promise<WorkloadApiServer> {
  return WorkloadApiServer.open({
    ...options,
    trustDomain: 'example.org',
    identities: IDENTITIES,
    federated: ['partner.test'],
    intermediate: true,
  });
}

/** One identity as the Workload API's message holds it. */
interface Entry<Bytes> {
  readonly spiffe_id: string;
  readonly hint: string;
  readonly x509_svid: Bytes;
  readonly bundle: Bytes;
}

function viewOf(
  svids: readonly Entry<Uint8Array>[],
  federated: Readonly<Record<string, Uint8Array>>,
): X509View {
  const bundles: Record<string, readonly string[]> = {
    'example.org': base64Each(svids[0]?.bundle ?? new Uint8Array()),
  };
  for (const [id, der] of Object.entries(federated))
    bundles[id.slice('spiffe://'.length)] = base64Each(der);
  return {
    svids: svids.map((one) => ({
      id: one.spiffe_id,
      hint: one.hint,
      chain: base64Each(one.x509_svid),
    })),
    bundles,
  };
}

/** What the server says to a client that shares no code with it. */
async function truth(address: string): Promise<X509View> {
  const client = new RawClient(address);
  const { svids, federated_bundles: federated } = await client.svids().next();
  client.close();
  return viewOf(svids, federated);
}

function base64Each(der: Uint8Array): readonly string[] {
  return splitCertificates(der).map((one) => Buffer.from(one).toString('base64'));
}

function withoutHints({ svids, bundles }: X509View): X509View {
  return { svids: svids.map(({ id, chain }) => ({ id, chain })), bundles };
}

/** One token as a peer was given it, with the verdicts on it. */
interface JwtView {
  readonly svids: readonly { readonly id: string; readonly token: string }[];
  readonly validated: string;
  readonly verified: string;
}

function readsX509(
  peer: Peer,
  read: (address: string) => Promise<unknown>,
  options: { readonly hints: boolean } = { hints: true },
): void {
  shows(peer, 'x509', 'is given every identity with its chain, and every bundle', async () => {
    await using server = await open();
    const seen = await read(server.address);
    const expected = await truth(server.address);
    expect(seen).to.deep.equal(options.hints ? expected : withoutHints(expected));
  });
}

/** The tokens that a peer was given are as the standard wants them, to us as well. */
async function judge(server: WorkloadApiServer, tokens: JwtView['svids']): Promise<void> {
  expect(tokens.map(({ id }) => id)).to.deep.equal(IDENTITIES.map(({ id }) => id));
  const bundles = JwtBundles.of(server.ca.jwtBundle);
  for (const { id, token } of tokens) {
    const svid = await verifyJwtSvid(token, bundles, { audience: AUDIENCE });
    expect(svid.id.toString()).to.equal(id);
  }
}

function readsJwt(peer: Peer, language: Language, args: (address: string) => string[]): void {
  for (const jwtAlgorithm of ['ES256', 'RS256'] as const) {
    shows(
      peer,
      'jwt',
      `is given a token of every identity, signed with ${jwtAlgorithm}, and agrees that it is valid`,
      async () => {
        await using server = await open({ jwtAlgorithm });
        const said = await ask(language, ...args(server.address));
        const { svids, validated, verified } = said as unknown as JwtView;
        await judge(server, svids);
        expect([validated, verified]).to.deep.equal([IDENTITIES[0].id, IDENTITIES[0].id]);
      },
    );
  }
}

/** What `spire-agent api fetch` prints: the messages of the Workload API as JSON. */
interface FetchedX509 {
  readonly svids: readonly Entry<string>[];
  readonly federated_bundles: Readonly<Record<string, string>>;
}
type FetchedJwt = readonly [
  { readonly svids: readonly { readonly spiffe_id: string; readonly svid: string }[] },
  { readonly bundles: Readonly<Record<string, string>> },
];

async function spireAgentApi(address: string, ...args: readonly string[]): Promise<unknown> {
  const program = spireAvailable()?.agent ?? '';
  const where = ['-output', 'json', '-socketPath', address.slice('unix://'.length)];
  const { stdout } = await promisify(execFile)(program, ['api', ...args, ...where]);
  return JSON.parse(stdout);
}

describeInterop('go', 'go-spiffe reading our development Workload API', () => {
  before(async () => {
    const { version } = await ask('go', 'version');
    noteVersion('go-spiffe', String(version));
  });
  readsX509('go-spiffe', (address) => ask('go', 'x509', '-socket', address));
  readsJwt('go-spiffe', 'go', (address) => ['jwt', '-socket', address, '-audience', AUDIENCE]);

  it('follows a rotation of SVIDs, one of the CA, a withdrawal and its end', async () => {
    await using server = await open();
    await using watcher = Program.start('go', ['x509', '-socket', server.address]);
    const first = (await watcher.next()) as unknown as X509View;
    server.rotateSvids();
    const second = (await watcher.next()) as unknown as X509View;
    expect(second).to.deep.equal(await truth(server.address));
    expect(second.svids[0]?.chain[0]).not.to.equal(first.svids[0]?.chain[0]);
    server.rotateCa();
    const third = (await watcher.next()) as unknown as X509View;
    expect(third.bundles['example.org']).to.have.length(2);
    server.withdraw();
    expect((await watcher.next())['trouble']).to.match(/PermissionDenied/);
    server.restore();
    // It tries again after a second or more, and may be refused once more before that.
    let next = await watcher.next();
    while ('trouble' in next) next = await watcher.next();
    expect(next).to.deep.equal(await truth(server.address));
  });
});

describeInterop('python', 'py-spiffe reading our development Workload API', () => {
  before(async () => {
    const { version } = await ask('python', 'version');
    noteVersion('py-spiffe', String(version));
  });
  readsX509('py-spiffe', (address) => ask('python', 'x509', address), { hints: false });
  readsJwt('py-spiffe', 'python', (address) => ['jwt', address, AUDIENCE]);

  shows('py-spiffe', 'verifies', 'verifies a JWT-SVID of ours, and none for others', async () => {
    await using server = await open();
    const { token } = await server.ca.issueJwt(IDENTITIES[0].id, { audience: AUDIENCE });
    const document = Buffer.from(server.ca.jwtBundleJson).toString('base64');
    await using oracle = Program.start('python', ['oracle']);
    const judged = (audience: string): Promise<Line> => {
      const bundles = { 'example.org': document };
      oracle.write(JSON.stringify({ kind: 'jwt', text: token, bundles, audience: [audience] }));
      return oracle.next();
    };
    expect(await judged(AUDIENCE)).to.include({ accept: true, id: IDENTITIES[0].id });
    expect(await judged('payroll')).to.include({ accept: false });
  });
});

describeInterop('rust', 'rust-spiffe reading our development Workload API', () => {
  before(async () => {
    const { version, rustls } = await ask('rust', 'version');
    noteVersion('rust-spiffe', `${String(version)}, spiffe-rustls ${String(rustls)}`);
  });
  readsX509('rust-spiffe', (address) => ask('rust', 'x509', address));
});

function bytes(base64: string): Buffer {
  return Buffer.from(base64, 'base64');
}

describeSpire('spire-agent api reading our development Workload API', () => {
  before(() => noteVersion('spire-agent', SPIRE_VERSION));

  readsX509('spire-agent', async (address) => {
    const said = (await spireAgentApi(address, 'fetch', 'x509')) as FetchedX509;
    const federated = Object.entries(said.federated_bundles);
    return viewOf(
      said.svids.map((one) => ({
        ...one,
        x509_svid: bytes(one.x509_svid),
        bundle: bytes(one.bundle),
      })),
      Object.fromEntries(federated.map(([id, base64]) => [id, bytes(base64)])),
    );
  });

  shows(
    'spire-agent',
    'jwt',
    'is given a token of every identity, and a verdict on it',
    async () => {
      await using server = await open();
      const { address } = server;
      const said = await spireAgentApi(address, 'fetch', 'jwt', '-audience', AUDIENCE);
      const [{ svids }, { bundles }] = said as FetchedJwt;
      expect(Object.keys(bundles)).to.have.members([
        'spiffe://example.org',
        'spiffe://partner.test',
      ]);
      const tokens = svids.map(({ spiffe_id: id, svid: token }) => ({ id, token }));
      await judge(server, tokens);
      const token = tokens[0]?.token ?? '';
      const validate = ['validate', 'jwt', '-audience', AUDIENCE, '-svid', token];
      expect(await spireAgentApi(address, ...validate)).to.include({ spiffe_id: IDENTITIES[0].id });
    },
  );
});
