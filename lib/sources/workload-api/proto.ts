import { type Struct, struct } from './struct.js';
import {
  binaries,
  binary,
  type Codec,
  type MessageCodec,
  mapOf,
  message,
  messages,
  text,
  texts,
} from './wire.js';

// The messages of SPIFFE_Workload_API, workloadapi.proto: package-less proto3. Absent and default are one (4.4);
// whether a default is allowed where it stands is for the reader of the message to judge (4.5).

export interface X509SvidRequest {}

/** One identity (WLA-15). */
export interface X509SvidEntry {
  readonly spiffeId: string;
  /** Concatenated DER, leaf first. */
  readonly x509Svid: Uint8Array;
  /** Unencrypted PKCS#8 in DER. A secret. */
  readonly x509SvidKey: Uint8Array;
  /** Concatenated DER of the authorities of this identity's trust domain. */
  readonly bundle: Uint8Array;
  readonly hint: string;
}

/** The complete X.509 state of a workload (WLA-14). */
export interface X509SvidResponse {
  readonly svids: readonly X509SvidEntry[];
  readonly crl: readonly Uint8Array[];
  /** By the trust domain's SPIFFE ID. */
  readonly federatedBundles: ReadonlyMap<string, Uint8Array>;
}

export interface X509BundlesRequest {}

/** All X.509 bundles that a workload may use (WLA-25). */
export interface X509BundlesResponse {
  readonly crl: readonly Uint8Array[];
  /** By the trust domain's SPIFFE ID. */
  readonly bundles: ReadonlyMap<string, Uint8Array>;
}

/** WLA-28. */
export interface JwtSvidRequest {
  readonly audience: readonly string[];
  /** Empty: for all identities of the caller. */
  readonly spiffeId: string;
}

/** One token (WLA-30). */
export interface JwtSvidEntry {
  readonly spiffeId: string;
  /** The token itself. A secret. */
  readonly svid: string;
  readonly hint: string;
}

export interface JwtSvidResponse {
  readonly svids: readonly JwtSvidEntry[];
}

export interface JwtBundlesRequest {}

/** All JWT bundles that a workload may use (WLA-33). */
export interface JwtBundlesResponse {
  /** JWK Set documents in UTF-8, by the trust domain's SPIFFE ID. */
  readonly bundles: ReadonlyMap<string, Uint8Array>;
}

/** WLA-36. */
export interface ValidateJwtSvidRequest {
  readonly audience: string;
  readonly svid: string;
}

/** WLA-37. */
export interface ValidateJwtSvidResponse {
  readonly spiffeId: string;
  readonly claims: Struct;
}

const x509SvidEntry: MessageCodec<X509SvidEntry> = message('X509SVID', {
  spiffeId: text(1),
  x509Svid: binary(2),
  x509SvidKey: binary(3),
  bundle: binary(4),
  hint: text(5),
});

const jwtSvidEntry: MessageCodec<JwtSvidEntry> = message('JWTSVID', {
  spiffeId: text(1),
  svid: text(2),
  hint: text(3),
});

/** One RPC: where it is called, what it takes and gives. */
export interface RpcMethod<Request, Response> {
  readonly path: string;
  readonly requestStream: false;
  /** Whether the server answers with a stream of messages, or with one. */
  readonly responseStream: boolean;
  readonly request: Codec<Request>;
  readonly response: Codec<Response>;
}

/** The stream of the caller's X.509-SVIDs and the bundles that go with them. */
export const FETCH_X509_SVID: RpcMethod<X509SvidRequest, X509SvidResponse> = {
  path: '/SpiffeWorkloadAPI/FetchX509SVID',
  requestStream: false,
  responseStream: true,
  request: message('X509SVIDRequest', {}),
  response: message('X509SVIDResponse', {
    svids: messages(1, x509SvidEntry),
    crl: binaries(2),
    federatedBundles: mapOf(3, 'X509SVIDResponse.FederatedBundlesEntry', binary),
  }),
};

/** The stream of X.509 bundles alone, for a process that needs no identity of its own. */
export const FETCH_X509_BUNDLES: RpcMethod<X509BundlesRequest, X509BundlesResponse> = {
  path: '/SpiffeWorkloadAPI/FetchX509Bundles',
  requestStream: false,
  responseStream: true,
  request: message('X509BundlesRequest', {}),
  response: message('X509BundlesResponse', {
    crl: binaries(1),
    bundles: mapOf(2, 'X509BundlesResponse.BundlesEntry', binary),
  }),
};

/** A token for an audience. */
export const FETCH_JWT_SVID: RpcMethod<JwtSvidRequest, JwtSvidResponse> = {
  path: '/SpiffeWorkloadAPI/FetchJWTSVID',
  requestStream: false,
  responseStream: false,
  request: message('JWTSVIDRequest', { audience: texts(1), spiffeId: text(2) }),
  response: message('JWTSVIDResponse', { svids: messages(1, jwtSvidEntry) }),
};

/** The stream of JWT bundles. */
export const FETCH_JWT_BUNDLES: RpcMethod<JwtBundlesRequest, JwtBundlesResponse> = {
  path: '/SpiffeWorkloadAPI/FetchJWTBundles',
  requestStream: false,
  responseStream: true,
  request: message('JWTBundlesRequest', {}),
  response: message('JWTBundlesResponse', {
    bundles: mapOf(1, 'JWTBundlesResponse.BundlesEntry', binary),
  }),
};

/** The server's own verdict on a token. */
export const VALIDATE_JWT_SVID: RpcMethod<ValidateJwtSvidRequest, ValidateJwtSvidResponse> = {
  path: '/SpiffeWorkloadAPI/ValidateJWTSVID',
  requestStream: false,
  responseStream: false,
  request: message('ValidateJWTSVIDRequest', { audience: text(1), svid: text(2) }),
  response: message('ValidateJWTSVIDResponse', { spiffeId: text(1), claims: struct(2) }),
};
