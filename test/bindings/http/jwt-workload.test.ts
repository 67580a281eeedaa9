import type { Server } from 'node:https';
import { BundleSource, UNAUTHENTICATED_CLIENTS, Workload } from 'agent-spiffe';
import {
  acceptEither,
  callerOf,
  createFetch,
  createServer,
  jwtOf,
  type PeerMiddleware,
  peerOf,
  requireJwt,
  requirePeer,
} from 'agent-spiffe/http';
import { WorkloadApiServer } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { listen } from '../../support/listen.js';
import { rejection } from '../../support/rejection.js';
import { closeServer } from '../../support/web.js';

const AGENT = 'spiffe://example.org/agents/a';
const GATEWAY = 'spiffe://example.org/gateway';
const TOOLS = 'spiffe://example.org/tools';
const AGENTS = 'spiffe://example.org/agents/*';

describe('JWT-SVIDs over HTTP between workloads', () => {
  let api: WorkloadApiServer;
  let agent: Workload;
  let gateway: Workload;
  let tools: Workload;
  let servers: Server[];

  beforeEach(async () => {
    api = await WorkloadApiServer.open({
      trustDomain: 'example.org',
      identities: [
        { id: GATEWAY, hint: 'gateway' },
        { id: AGENT, hint: 'agent' },
        { id: TOOLS, hint: 'tools' },
      ],
    });
    const open = (pick: string): Promise<Workload> => Workload.open({ address: api.address, pick });
    [agent, gateway, tools] = await Promise.all([open('agent'), open('gateway'), open('tools')]);
    servers = [];
  });
  afterEach(async () => {
    await Promise.all(servers.map(closeServer));
    await Promise.all([agent, gateway, tools].map((workload) => workload.close()));
    await api.close();
  });

  const serve = async (guard: PeerMiddleware): Promise<string> => {
    const server = createServer(tools, { allow: UNAUTHENTICATED_CLIENTS }, (req, res) => {
      guard(req, res, () => res.end(`${jwtOf(req).id} ${jwtOf(req).audience.join()}`));
    });
    servers.push(server);
    return `https://localhost:${await listen(server)}`;
  };

  it('carries a token of the identity in use, fetched once for many requests', async () => {
    const origin = await serve(requireJwt(tools, { audience: 'tools', allow: AGENTS }));
    await using fetch = createFetch(agent, {
      peers: { [origin]: { id: TOOLS, jwtAudience: 'tools' } },
    });
    for (let calls = 0; calls < 5; calls++)
      expect(await (await fetch(origin)).text()).to.equal(`${AGENT} tools`);
    expect(api.callCount('FetchJWTSVID')).to.equal(1);
    expect(api.callCount('ValidateJWTSVID')).to.equal(0);
  });

  it('hands the 401 of a server to the caller, who sees what it wants', async () => {
    const origin = await serve(requireJwt(tools, { audience: 'tools', allow: AGENTS }));
    await using fetch = createFetch(agent, { peers: { [origin]: TOOLS } });
    const response = await fetch(origin);
    expect(response.status).to.equal(401);
    expect(response.headers.get('www-authenticate')).to.equal('Bearer realm="spiffe"');
    await response.text();
  });

  it('tells a gateway from the caller whose token it hands on', async () => {
    const peer = requirePeer(GATEWAY);
    const jwt = requireJwt(tools, { audience: 'tools', allow: AGENTS });
    const server = createServer(tools, { allow: GATEWAY }, (req, res) => {
      peer(req, res, () => {
        jwt(req, res, () => res.end(`${jwtOf(req).id} through ${peerOf(req).id}`));
      });
    });
    servers.push(server);
    const origin = `https://localhost:${await listen(server)}`;
    await using fetch = createFetch(gateway, { peers: { [origin]: TOOLS } });
    const { token } = await agent.jwt.fetch({ audience: 'tools' });
    const response = await fetch(origin, { headers: { authorization: `Bearer ${token}` } });
    expect(await response.text()).to.equal(`${AGENT} through ${GATEWAY}`);
    expect((await fetch(origin)).status).to.equal(401);
  });

  it('has no token any more when the identity is withdrawn', async () => {
    const origin = await serve(requireJwt(tools, { audience: 'tools', allow: AGENTS }));
    await using fetch = createFetch(agent, {
      peers: { [origin]: { id: TOOLS, jwtAudience: 'tools' } },
    });
    await (await fetch(origin)).text();
    api.withdraw();
    for await (const { state } of agent.updates()) if (state === 'revoked') break;
    await rejection('ERR_SPIFFE_WORKLOAD_API_DENIED', fetch(origin));
  });

  it('is verified by a process that has bundles alone, which has no token to give', async () => {
    await using bundles = await BundleSource.open({ address: api.address });
    const origin = await serve(requireJwt(bundles, { audience: 'tools', allow: AGENTS }));
    const peers = { [origin]: { id: TOOLS, jwtAudience: 'tools' } };
    await using fetch = createFetch(agent, { peers });
    expect(await (await fetch(origin)).text()).to.equal(`${AGENT} tools`);
    const outcome = (async () => createFetch(bundles, { peers }))();
    await rejection('ERR_SPIFFE_OPTION_INVALID', outcome);
  });

  it('is one way to be known, and the SVID of the connection the other', async () => {
    const either = acceptEither(tools, { audience: 'tools', allow: AGENTS });
    const server = createServer(tools, { allow: UNAUTHENTICATED_CLIENTS }, (req, res) => {
      either(req, res, () => res.end(`${callerOf(req).id} by ${callerOf(req).by}`));
    });
    servers.push(server);
    const origin = `https://localhost:${await listen(server)}`;
    const { token } = await agent.jwt.fetch({ audience: 'tools' });
    const authorization = `Bearer ${token}`;
    await using bundles = await BundleSource.open({ address: api.address });
    await using withSvid = createFetch(agent, { peers: { [origin]: TOOLS } });
    await using without = createFetch(bundles, { peers: { [origin]: TOOLS } });
    expect(await (await withSvid(origin)).text()).to.equal(`${AGENT} by mtls`);
    expect(await (await without(origin, { headers: { authorization } })).text()).to.equal(
      `${AGENT} by jwt`,
    );
    expect((await without(origin)).status).to.equal(401);
  });
});
