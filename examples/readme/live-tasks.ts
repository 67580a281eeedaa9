import { Workload } from 'agent-spiffe';
import { liveTasks, RevocationLists } from 'agent-spiffe/agent';
import { createFetch, createServer, peerOf, requirePeer } from 'agent-spiffe/http';

const me = await Workload.open();
const agent = 'spiffe://example.org/agents/researcher';
const url = 'https://researcher.internal:8444';
const fetch = createFetch(me, { peers: { [url]: agent } });
const publishers = { [agent]: `${url}/revocations` };
const lists = await RevocationLists.open({ identity: me, fetch, publishers });

const allow = liveTasks(`${agent}/task/*`, lists); // with each connection
const live = requirePeer(allow); // and again with each request
createServer(me, { allow }, (req, res) => {
  live(req, res, () => res.end(`hello ${peerOf(req).id}`));
}).listen(8443);
