import { Workload } from 'agent-spiffe';
import { createFetch, createServer, peerOf } from 'agent-spiffe/http';

const me = await Workload.open(); // SPIFFE_ENDPOINT_SOCKET says where; the SVID rotates by itself
const fetch = createFetch(me, {
  peers: { 'https://tools.internal:8443': 'spiffe://example.org/tools' },
});
const answer = await fetch('https://tools.internal:8443/search?q=spiffe');
console.log(answer.status, await answer.text());

createServer(me, { allow: ['spiffe://example.org/agents/**'] }, (req, res) => {
  res.end(`hello ${peerOf(req).id}`);
}).listen(8443);
