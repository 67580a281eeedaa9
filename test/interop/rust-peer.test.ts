import { describeInterop } from '../support/interop.js';
import { mtlsSuite } from './mtls-peer.js';

describeInterop('rust', 'rust-spiffe over mTLS (rustls)', () => {
  mtlsSuite({
    name: 'rust-spiffe',
    language: 'rust',
    serve: (socket, peer) => ['serve', socket, peer],
    call: (socket, peer, port) => ['call', socket, peer, `127.0.0.1:${port}`],
  });
});
