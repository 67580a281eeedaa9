import { BundleSource, UNAUTHENTICATED_CLIENTS, WEB_PKI, Workload } from 'agent-spiffe';
import { createFetch, createServer, peerIfAny, requirePeer } from 'agent-spiffe/http';

const me = await Workload.open();

// Out to the web: by its roots and the host name. Nothing of our identity is shown there.
const fetch = createFetch(me, {
  peers: {
    'https://api.models.example': WEB_PKI,
    'https://models.internal': { id: WEB_PKI, ca: process.env['PRIVATE_ROOTS'] ?? '' },
    'https://tools.internal:8443': 'spiffe://example.org/tools',
  },
});
console.log(fetch.peerRule('https://api.models.example/v1') === WEB_PKI);

// In from the web: a client that shows an SVID must still be a valid peer.
const agentsOnly = requirePeer('spiffe://example.org/agents/**');
createServer(me, { allow: UNAUTHENTICATED_CLIENTS }, (req, res) => {
  if (req.url === '/health') res.end(`hello ${peerIfAny(req)?.id ?? 'whoever you are'}`);
  else agentsOnly(req, res, () => res.end('hello agent'));
}).listen(8443);

// Without an SVID of one's own: verifies SPIFFE servers, shows them no certificate.
const bundles = await BundleSource.open();
const reader = createFetch(bundles, {
  peers: { 'https://tools.internal:8443': 'spiffe://example.org/tools' },
});
console.log((await reader('https://tools.internal:8443/health')).status);
