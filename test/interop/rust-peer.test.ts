import { describeInterop } from '../support/interop.js';
import { mtlsSuite, RUST } from './mtls-peer.js';

describeInterop('rust', 'rust-spiffe over mTLS (rustls)', () => {
  mtlsSuite(RUST);
});
