import { UNAUTHENTICATED_CLIENTS, Workload } from 'agent-spiffe';
import {
  acceptEither,
  callerOf,
  createFetch,
  createServer,
  jwtOf,
  requireJwt,
} from 'agent-spiffe/http';

const me = await Workload.open();

// Each request to this origin carries a JWT-SVID for `reports`, and none to any other.
const fetch = createFetch(me, {
  peers: {
    'https://reports.internal:8443': { id: 'spiffe://example.org/gateway', jwtAudience: 'reports' },
    'https://tools.internal:8443': 'spiffe://example.org/tools',
  },
});
console.log((await fetch('https://reports.internal:8443/today')).status);

// Only with a token for `reports`, whoever connects: the gateway hands it on.
const agents = { audience: 'reports', allow: 'spiffe://example.org/agents/**' };
const agentsOnly = requireJwt(me, agents);
createServer(me, { allow: 'spiffe://example.org/gateway' }, (req, res) => {
  agentsOnly(req, res, () => res.end(`hello ${jwtOf(req).id}`));
}).listen(8443);

// With a token or with an SVID.
const either = acceptEither(me, agents);
createServer(me, { allow: UNAUTHENTICATED_CLIENTS }, (req, res) => {
  either(req, res, () => res.end(`hello ${callerOf(req).id}, known by ${callerOf(req).by}`));
}).listen(9443);

// By hand, where another client sends it.
const { token, expiresAt } = await me.jwt.fetch({ audience: 'reports' });
const { id } = await me.jwt.verify(token, { audience: 'reports' });
console.log(`${id} until ${expiresAt.toISOString()}`);
