import { describeInterop } from '../support/interop.js';
import { type MtlsPeer, mtlsSuite } from './mtls-peer.js';

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
});
