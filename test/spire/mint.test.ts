import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { Client, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { SpiffeError, SpiffeId, verifyX509Svid, Workload, type X509Svid } from 'agent-spiffe';
import { mintWithSpire } from 'agent-spiffe/authority';
import { createChannelCredentials } from 'agent-spiffe/grpc';
import { expect } from 'chai';
import { CredentialKey } from '#lib/agent/credential/key.js';
import { distinguishedName } from '#lib/testing/certificate.js';
import { until } from '../../spire-config/processes.mjs';
import { craftRequest, type RequestParts } from '../support/certificate-request.js';
import { describeSpire, TestSpire } from '../support/spire.js';

const AUTHORITY = 'spiffe://example.org/task-authority';
const AGENT = 'spiffe://example.org/agents/researcher';
const TASK = `${AGENT}/task/1`;
const { signal } = new AbortController();

describeSpire('real SPIRE: what the authority for tasks may mint', () => {
  let spire: TestSpire;
  let authority: Workload;
  let agent: Workload;
  before(async () => {
    spire = await TestSpire.start();
    await spire.createEntry({ spiffeId: AUTHORITY, hint: 'authority' });
    await spire.createEntry({ spiffeId: AGENT, hint: 'agent' });
    await until(
      async () => (await spire.fetchX509()).svids.length === 2,
      () => 'the entries are not served',
    );
    authority = await Workload.open({ address: spire.address, pick: 'authority' });
    agent = await Workload.open({ address: spire.address, pick: 'agent' });
  });
  after(async () => {
    await authority?.close();
    await agent?.close();
    await spire?.close();
  });

  const mint = async (
    csr: Uint8Array,
    ttlSeconds = 60,
    identity = authority,
  ): Promise<readonly Uint8Array[]> => {
    using connection = mintWithSpire({ address: spire.serverAddress, identity });
    return await connection({ csr, ttlSeconds, signal });
  };

  it('is an SVID for the key and the ID of a task, as short as asked', async () => {
    const key = new CredentialKey();
    const chain = await mint(key.request(SpiffeId.parse(TASK)), 60);
    const svid: X509Svid = key.svid(chain);
    expect(svid.id.toString()).to.equal(TASK);
    expect(verifyX509Svid(svid.certificates, agent.x509.bundles).id.toString()).to.equal(TASK);
    const life = svid.notAfter.getTime() - Date.now();
    expect(life).to.be.within(50_000, 60_000);
  });

  const refused: readonly (readonly [string, RequestParts, number?])[] = [
    ["the agent's own ID", { uris: [AGENT] }],
    ["the authority's own ID", { uris: [AUTHORITY] }],
    ["the server's ID", { uris: ['spiffe://example.org/spire/server'] }],
    ['an ID that only contains a task', { uris: [`${TASK}/sub`] }],
    ['a task of nobody', { uris: ['spiffe://example.org/task/1'] }],
    ['a task of another trust domain', { uris: ['spiffe://other.test/agents/a/task/1'] }],
    ['two tasks', { uris: [TASK, `${AGENT}/task/2`] }],
    ['no ID', { uris: [] }],
    ['a task with a DNS name', { uris: [TASK], dnsNames: ['db.internal'] }],
    ['a task with a subject', { uris: [TASK], subject: distinguishedName({ commonName: 'db' }) }],
    ['a task for longer than five minutes', { uris: [TASK] }, 301],
    ["a task for the server's own default life", { uris: [TASK] }, 0],
  ];
  for (const [what, parts, ttlSeconds] of refused) {
    it(`is refused for ${what}`, async () => {
      const { code, grpcStatus } = await outcome(mint(craftRequest(parts), ttlSeconds));
      expect(code).to.equal('ERR_SPIFFE_CREDENTIAL_DENIED');
      // By the policy, and for what that need not look at by SPIRE itself.
      const bySpire = parts.uris?.[0]?.includes('other.test') === true;
      expect(grpcStatus).to.equal(bySpire ? status.INVALID_ARGUMENT : status.PERMISSION_DENIED);
    });
  }

  it('is what is refused there, but for what is wrong with it', async () => {
    expect(await codeOf(mint(craftRequest({ uris: [TASK] }), 300))).to.equal('minted');
  });

  it('is for the authority alone: an agent may not mint its own tasks', async () => {
    const asked = mint(craftRequest({ uris: [TASK] }), 60, agent);
    expect(await codeOf(asked)).to.equal('ERR_SPIFFE_CREDENTIAL_DENIED');
  });

  it('is no way to the entries, the agents, or tokens', async () => {
    for (const method of [
      'entry.v1.Entry/ListEntries',
      'entry.v1.Entry/BatchCreateEntry',
      'agent.v1.Agent/ListAgents',
      'agent.v1.Agent/CreateJoinToken',
      'svid.v1.SVID/MintJWTSVID',
      'svid.v1.SVID/NewDownstreamX509CA',
      'localauthority.v1.LocalAuthority/GetX509AuthorityState',
    ])
      expect(await call(spire.serverAddress, authority, method), method).to.equal(
        'PERMISSION_DENIED',
      );
    expect(await call(spire.serverAddress, authority, 'bundle.v1.Bundle/GetBundle')).to.equal('OK');
  });

  it('is asked of nobody but the server of SPIRE', async () => {
    using connection = mintWithSpire({
      address: spire.serverAddress,
      identity: authority,
      server: 'spiffe://example.org/other/server',
    });
    const asked = connection({ csr: craftRequest({ uris: [TASK] }), ttlSeconds: 60, signal });
    const error = await asked.then(
      () => undefined,
      (thrown: unknown) => thrown as SpiffeError,
    );
    expect(error?.code).to.equal('ERR_SPIFFE_CREDENTIAL_UNAVAILABLE');
    expect((error?.cause as SpiffeError | undefined)?.code).to.equal('ERR_SPIFFE_PEER_NOT_ALLOWED');
  });

  it('is had again after the server was down', async () => {
    using connection = mintWithSpire({ address: spire.serverAddress, identity: authority });
    const ask = (): Promise<string> =>
      codeOf(connection({ csr: craftRequest({ uris: [TASK] }), ttlSeconds: 60, signal }));
    expect(await ask()).to.equal('minted');
    await spire.stopServer();
    expect(await ask()).to.equal('ERR_SPIFFE_CREDENTIAL_UNAVAILABLE');
    await spire.startServer();
    await until(
      async () => (await ask()) === 'minted',
      () => 'it is not had again',
    );
  });

  it('has an Ed25519 key if it is asked to, which this library believes of nobody', async () => {
    const { privateKey } = generateKeyPairSync('ed25519', {
      privateKeyEncoding: { type: 'pkcs8', format: 'der' },
      publicKeyEncoding: { type: 'spki', format: 'der' },
    });
    const key = createPrivateKey({ key: privateKey, format: 'der', type: 'pkcs8' });
    const chain = await mint(craftRequest({ uris: [TASK], key }));
    expect(() => verifyX509Svid(chain, agent.x509.bundles))
      .to.throw(SpiffeError)
      .with.property('code', 'ERR_SPIFFE_X509_SVID_INVALID');
  });
});

const codeOf = async (answer: Promise<unknown>): Promise<string> => (await outcome(answer)).code;

/** What came of a request: `minted`, or the code of the refusal. */
async function outcome(
  answer: Promise<unknown>,
): Promise<{ readonly code: string; readonly grpcStatus?: number | undefined }> {
  return answer.then(
    () => ({ code: 'minted' }),
    (error: unknown) => error as SpiffeError,
  );
}

/** Calls a method of SPIRE's server API with an empty request; gives the name of the status. */
async function call(address: string, identity: Workload, method: string): Promise<string> {
  const credentials = createChannelCredentials(identity, {
    peer: 'spiffe://example.org/spire/server',
  });
  const client = new Client(`ipv4:${address}`, credentials);
  try {
    return await new Promise((resolve) => {
      client.makeUnaryRequest(
        `/spire.api.server.${method}`,
        () => Buffer.alloc(0),
        (bytes) => bytes,
        {},
        new Metadata(),
        (error: ServiceError | null) => resolve(status[error?.code ?? status.OK] ?? ''),
      );
    });
  } finally {
    client.close();
    credentials.close();
  }
}
