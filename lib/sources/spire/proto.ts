import type { RpcMethod } from '../workload-api/proto.js';
import {
  binaries,
  binary,
  count,
  embedded,
  type MessageCodec,
  message,
} from '../workload-api/wire.js';

// The one call of SPIRE's server API that is made here: spire.api.server.svid.v1, proto3.

export interface MintX509SvidRequest {
  /** PKCS#10, DER. Names the SPIFFE ID, and the DNS names that the SVID would have. */
  readonly csr: Uint8Array;
  /** In seconds; 0 stands for the server's default. */
  readonly ttl: number;
}

export interface MintedX509Svid {
  /** DER, the leaf first. */
  readonly certChain: readonly Uint8Array[];
  /** Seconds since 1970. */
  readonly expiresAt: number;
}

export interface MintX509SvidResponse {
  readonly svid: MintedX509Svid;
}

const x509Svid: MessageCodec<MintedX509Svid> = message('X509SVID', {
  certChain: binaries(1),
  expiresAt: count(3),
});

/** Has an SVID signed for the key and the names of a request, whoever they are: SPIRE's policy decides who may. */
export const MINT_X509_SVID: RpcMethod<MintX509SvidRequest, MintX509SvidResponse> = {
  path: '/spire.api.server.svid.v1.SVID/MintX509SVID',
  requestStream: false,
  responseStream: false,
  request: message('MintX509SVIDRequest', { csr: binary(1), ttl: count(2) }),
  response: message('MintX509SVIDResponse', { svid: embedded(1, x509Svid) }),
};
