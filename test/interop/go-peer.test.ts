import { Workload } from 'agent-spiffe';
import { createFetch, createServer, jwtOf, requireJwt } from 'agent-spiffe/http';
import { WorkloadApiServer } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { ask, describeInterop, type Line, Program } from '../support/interop.js';
import { shows } from '../support/interop-matrix.js';
import { listen } from '../support/listen.js';
import {
  fetched,
  GO,
  mtlsSuite,
  OURS,
  ourServer,
  sides,
  THEIRS,
  theirServer,
} from './mtls-peer.js';

describeInterop('go', 'go-spiffe over mTLS', () => {
  mtlsSuite(GO);

  shows('go-spiffe', 'client', 'calls our server over TLS 1.2, which is the floor', async () => {
    await using both = await sides();
    await using server = await ourServer(both.me, THEIRS);
    const said = await ask('go', ...GO.call(both.api.address, OURS, server.port), '-tls12');
    expect(said).to.include({ status: 200, peer: OURS, version: 'TLS 1.2' });
  });

  shows('go-spiffe', 'fetch', 'answers our fetch over TLS 1.2', async () => {
    await using both = await sides();
    await using server = await theirServer(GO, both.api.address, OURS, '-tls12');
    expect(await fetched(both.me, server.origin, THEIRS)).to.include({
      peer: OURS,
      version: 'TLS 1.2',
    });
  });

  shows(
    'go-spiffe',
    'client',
    'resumes no session of ours: each connection is verified',
    async () => {
      for (const version of [[], ['-tls12']]) {
        await using both = await sides();
        await using server = await ourServer(both.me, THEIRS);
        const call = GO.call(both.api.address, OURS, server.port);
        await using client = Program.start('go', [...call, ...version, '-tickets', '-times', '3']);
        const said = await client.rest();
        expect(said.map(({ status, resumed }) => [status, resumed])).to.deep.equal([
          [200, false],
          [200, false],
          [200, false],
        ]);
      }
    },
  );

  shows('go-spiffe', 'sends', 'sends a JWT-SVID to our server, which verifies it', async () => {
    await using api = await bothIdentities();
    await using me = await Workload.open({ address: api.address, pick: 'ours' });
    const gate = requireJwt(me, { audience: 'reports', allow: THEIRS });
    const server = createServer(me, { allow: THEIRS }, (req, res) =>
      gate(req, res, () => res.end(jwtOf(req).id.toString())),
    );
    const call = GO.call(api.address, OURS, await listen(server));
    const right = await ask('go', ...call, '-audience', 'reports');
    expect(right).to.include({ status: 200, body: THEIRS });
    expect(await ask('go', ...call, '-audience', 'payroll')).to.include({ status: 401 });
    server.close();
  });

  shows('go-spiffe', 'verifies', 'verifies a JWT-SVID that our fetch sends', async () => {
    await using api = await bothIdentities();
    await using me = await Workload.open({ address: api.address, pick: 'ours' });
    await using server = await theirServer(GO, api.address, OURS, '-audience', 'reports');
    const send = async (jwtAudience: string): Promise<readonly [number, string]> => {
      const peers = { [server.origin]: { id: THEIRS, jwtAudience } };
      await using fetch = createFetch(me, { peers });
      const response = await fetch(server.origin);
      return [response.status, await response.text()];
    };
    const [status, body] = await send('reports');
    expect([status, (JSON.parse(body) as Line)['subject']]).to.deep.equal([200, OURS]);
    expect((await send('payroll'))[0]).to.equal(401);
  });
});

/** One Workload API for both: theirs is the default identity, ours has a hint. */
function bothIdentities(): Promise<WorkloadApiServer> {
  const identities = [THEIRS, { id: OURS, hint: 'ours' }];
  return WorkloadApiServer.open({ trustDomain: 'example.org', identities });
}
