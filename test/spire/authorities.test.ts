import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { verifyX509Svid, Workload } from 'agent-spiffe';
import { createFetch, createServer, peerOf } from 'agent-spiffe/http';
import { expect } from 'chai';
import { listen } from '../support/listen.js';
import { openssl } from '../support/openssl-verdicts.js';
import { describeSpire, type SpireOptions, TestSpire } from '../support/spire.js';

const ID = 'spiffe://example.org/agents/researcher';

/** Opens a workload on a SPIRE of these settings, has it call itself over mTLS, and gives how its SVID was verified. */
async function tryOut(
  options: SpireOptions,
): Promise<{ readonly path: number; readonly sent: number; readonly keyType: string }> {
  const spire = await TestSpire.start(options);
  try {
    await spire.createEntry({ spiffeId: ID });
    await using me = await Workload.open({ address: spire.address });
    const server = createServer(me, { allow: ID }, (req, res) => res.end(String(peerOf(req).id)));
    const url = `https://127.0.0.1:${await listen(server)}`;
    try {
      await using fetch = createFetch(me, { peers: { [url]: ID } });
      expect(await (await fetch(url)).text()).to.equal(ID);
    } finally {
      server.close();
    }
    const svid = me.x509.svid();
    const { chain } = verifyX509Svid(svid.certificates, me.x509.bundles);
    const { asymmetricKeyType = '', asymmetricKeyDetails: details } = svid.privateKey;
    const keyType = `${asymmetricKeyType} ${details?.namedCurve ?? details?.modulusLength}`;
    return { path: chain.length, sent: svid.certificates.length, keyType };
  } finally {
    await spire.close();
  }
}

describeSpire('real SPIRE: authorities and keys of each kind', () => {
  for (const [authority, key, keyType] of [
    ['ec-p256', 'ec-p256', 'ec prime256v1'],
    ['ec-p384', 'rsa-2048', 'rsa 2048'],
    ['rsa-2048', 'ec-p384', 'ec secp384r1'],
    ['rsa-4096', 'rsa-2048', 'rsa 2048'],
  ] as const) {
    it(`verifies an SVID with a key of ${key} under an authority of ${authority}`, async () => {
      const tried = await tryOut({
        server: `ca_key_type = "${authority}"`,
        agent: `workload_x509_svid_key_type = "${key}"`,
      });
      expect(tried).to.deep.equal({ path: 2, sent: 1, keyType });
    });
  }

  it('verifies an SVID whose authority is below an upstream one, by the intermediate it comes with', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'upstream-'));
    const [key, certificate] = [join(directory, 'key.pem'), join(directory, 'certificate.pem')];
    try {
      const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
      const usage = ['-addext', 'keyUsage=critical,keyCertSign,cRLSign'];
      const files = ['-keyout', key, '-out', certificate];
      const made = openssl(['req', '-x509', '-subj', '/CN=upstream', ...curve, ...usage, ...files]);
      expect(made.ok, made.text).to.equal(true);
      const { path, sent } = await tryOut({
        serverPlugins: `UpstreamAuthority "disk" {
          plugin_data { cert_file_path = "${certificate}", key_file_path = "${key}" }
        }`,
      });
      expect({ path, sent }).to.deep.equal({ path: 3, sent: 2 });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
