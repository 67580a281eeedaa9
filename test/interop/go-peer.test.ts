import { expect } from 'chai';
import { ask, describeInterop, Program } from '../support/interop.js';
import { shows } from '../support/interop-matrix.js';
import {
  fetched,
  type MtlsPeer,
  mtlsSuite,
  OURS,
  ourServer,
  sides,
  THEIRS,
  theirServer,
} from './mtls-peer.js';

export const GO: MtlsPeer = {
  name: 'go-spiffe',
  language: 'go',
  serve: (socket, peer) => ['serve', '-socket', socket, '-peer', peer],
  call: (socket, peer, port) => {
    const url = `https://127.0.0.1:${port}/`;
    return ['call', '-socket', socket, '-peer', peer, '-url', url];
  },
};

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
});
