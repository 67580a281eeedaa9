import { type SpiffeError, SpiffeId, verifyX509Svid, X509Bundles } from 'agent-spiffe';
import { mintWithDevelopmentServer } from 'agent-spiffe/authority';
import { WorkloadApiServer } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { CredentialKey } from '#lib/agent/credential/key.js';
import { craftRequest } from '../../support/certificate-request.js';
import { refusal } from '../../support/refusal.js';
import { rejection } from '../../support/rejection.js';

const TASK = 'spiffe://example.org/agents/a/task/1';
const { signal } = new AbortController();

describe('minting by the development server', () => {
  let api: WorkloadApiServer;
  beforeEach(async () => {
    api = await WorkloadApiServer.open({ trustDomain: 'example.org', identities: [] });
  });
  afterEach(() => api.close());

  it('signs an SVID for the key and the ID of the request, as long as asked', async () => {
    using mint = mintWithDevelopmentServer({ address: api.address });
    const key = new CredentialKey();
    const csr = key.request(SpiffeId.parse(TASK));
    const before = Date.now();
    const chain = await mint({ csr, ttlSeconds: 60, signal });
    const svid = key.svid(chain);
    expect(svid.id.toString()).to.equal(TASK);
    expect(svid.notAfter.getTime()).to.be.within(before + 59_000, Date.now() + 60_000);
    verifyX509Svid(svid.certificates, X509Bundles.of(api.ca.bundle));
    expect(api.callCount('MintX509SVID')).to.equal(1);
  });

  it('does the same in the process, with the intermediate where there is one', async () => {
    await using deep = await WorkloadApiServer.open({
      trustDomain: 'example.org',
      identities: [],
      intermediate: true,
    });
    const csr = craftRequest({ uris: [TASK] });
    expect(api.mint(csr)).to.have.length(1);
    expect(deep.mint(csr, { ttlMs: 5_000 })).to.have.length(2);
    verifyX509Svid(deep.mint(csr), X509Bundles.of(deep.ca.bundle));
  });

  it('refuses what it would not issue: other names, another trust domain, none at all', async () => {
    using mint = mintWithDevelopmentServer({ address: api.address });
    for (const csr of [
      craftRequest({ uris: [TASK], dnsNames: ['db.internal'] }),
      craftRequest({ uris: ['spiffe://other.test/agents/a/task/1'] }),
      craftRequest({ uris: ['spiffe://example.org'] }),
      Buffer.from('no request'),
      new Uint8Array(),
    ])
      await rejection(
        'ERR_SPIFFE_CREDENTIAL_DENIED',
        mint({ csr, ttlSeconds: 60, signal }).then(() => 'minted'),
      );
    refusal('ERR_SPIFFE_OPTION_INVALID', 'certificate request', () =>
      api.mint(Buffer.from('no request')),
    );
  });

  it('fails while the server is away, and is had again after', async () => {
    using mint = mintWithDevelopmentServer({ address: api.address });
    const csr = craftRequest({ uris: [TASK] });
    await api.goOffline();
    const failure = await mint({ csr, ttlSeconds: 60, signal }).catch((error: unknown) => error);
    expect((failure as SpiffeError).code).to.equal('ERR_SPIFFE_WORKLOAD_API_UNAVAILABLE');
    await api.goOnline();
    expect(await mint({ csr, ttlSeconds: 60, signal })).to.have.length(1);
  });

  it('needs an address', () => {
    refusal('ERR_SPIFFE_ADDRESS_INVALID', 'http', () =>
      mintWithDevelopmentServer({ address: 'http://localhost' }),
    );
  });
});
