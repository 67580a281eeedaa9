import { expect } from 'chai';
import { readPem } from '#lib/internal/pem.js';
import { resolveWorkloadApiAddress } from '#lib/sources/workload-api/address.js';
import { WorkloadApiClient } from '#lib/sources/workload-api/client.js';
import {
  FETCH_JWT_BUNDLES,
  FETCH_JWT_SVID,
  FETCH_X509_BUNDLES,
  FETCH_X509_SVID,
  type RpcMethod,
  VALIDATE_JWT_SVID,
} from '#lib/sources/workload-api/proto.js';
import { until } from '../../spire-config/processes.mjs';
import { describeSpire, TestSpire } from '../support/spire.js';

const ID = 'spiffe://example.org/agents/researcher';

/** One part of a JWS in its compact form. */
function part(token: string, index: 0 | 1): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[index] ?? '', 'base64url').toString()) as Record<
    string,
    unknown
  >;
}

// The development server shares our codec, so it cannot find a mistake that both ends make. SPIRE can.
describeSpire('real SPIRE: each RPC of the Workload API', () => {
  let spire: TestSpire;
  let client: WorkloadApiClient;
  before(async () => {
    spire = await TestSpire.start();
    await spire.setBundle('other.test', await spire.bundle());
    await spire.createEntry({ spiffeId: ID, hint: 'researcher', federatesWith: ['other.test'] });
    await until(
      async () => (await spire.fetchX509()).svids.length === 1,
      () => 'the entry is not served',
    );
    const address = resolveWorkloadApiAddress(spire.address);
    client = new WorkloadApiClient({ address, messageBytes: 16 * 1024 * 1024 });
  });
  after(async () => {
    client.close();
    await spire.close();
  });

  /** The first message that is as asked for; it is encoded again to the same bytes. */
  function call<Request, Response>(
    method: RpcMethod<Request, Response>,
    request: Request,
    as: (response: Response) => boolean = () => true,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const stream = client.stream(method, request, {
        message(bytes) {
          const response = method.response.decode(bytes);
          if (!as(response)) return;
          stream.cancel();
          const again = method.response.encode(response);
          if (Buffer.from(again).equals(bytes)) resolve(response);
          else reject(new Error('what SPIRE sent is not what the same values are encoded to'));
        },
        end: ({ status, details }) => reject(new Error(`status ${status}: ${details}`)),
      });
    });
  }

  const authority = async (): Promise<Buffer> =>
    Buffer.concat(readPem(await spire.bundle(), 'CERTIFICATE'));

  it('FetchX509SVID', async () => {
    const { svids, crl, federatedBundles } = await call(FETCH_X509_SVID, {});
    expect(svids.map(({ spiffeId, hint }) => [spiffeId, hint])).to.deep.equal([[ID, 'researcher']]);
    expect(Buffer.from(svids[0]?.bundle ?? [])).to.deep.equal(await authority());
    expect([...federatedBundles.keys()]).to.deep.equal(['spiffe://other.test']);
    expect(crl).to.deep.equal([]);
  });

  it('FetchX509Bundles, and again when one goes', async () => {
    const { bundles } = await call(
      FETCH_X509_BUNDLES,
      {},
      (response) => response.bundles.size === 2,
    );
    for (const domain of ['example.org', 'other.test'])
      expect(Buffer.from(bundles.get(`spiffe://${domain}`) ?? [])).to.deep.equal(await authority());
    const without = call(FETCH_X509_BUNDLES, {}, (response) => response.bundles.size === 1);
    await spire.deleteBundle('other.test');
    expect([...(await without).bundles.keys()]).to.deep.equal(['spiffe://example.org']);
  });

  it('FetchJWTSVID, FetchJWTBundles and ValidateJWTSVID, which agree', async () => {
    const { svids } = await call(FETCH_JWT_SVID, { audience: ['mail', 'search'], spiffeId: ID });
    const [entry] = svids;
    if (entry === undefined) throw new Error('no JWT-SVID');
    expect(entry).to.include({ spiffeId: ID, hint: 'researcher' });
    const claims = part(entry.svid, 1);
    expect(claims).to.include({ sub: ID }).and.to.have.deep.property('aud', ['mail', 'search']);

    const { bundles } = await call(FETCH_JWT_BUNDLES, {});
    const document = Buffer.from(bundles.get('spiffe://example.org') ?? []).toString();
    const { keys } = JSON.parse(document) as { readonly keys: readonly { kid: string }[] };
    expect(keys.map(({ kid }) => kid)).to.deep.equal([part(entry.svid, 0)['kid']]);

    const valid = await call(VALIDATE_JWT_SVID, { audience: 'search', svid: entry.svid });
    expect(valid.spiffeId).to.equal(ID);
    expect(Object.fromEntries(valid.claims)).to.deep.equal(claims);
  });
});
