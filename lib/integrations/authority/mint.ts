/** What an issuer is asked to sign. */
export interface MintRequest {
  /** A PKCS#10 request, DER, that the authority has judged: one SPIFFE ID and nothing else. */
  readonly csr: Uint8Array;
  /** The life that the SVID may have at most, in whole seconds: at least one. */
  readonly ttlSeconds: number;
  readonly signal: AbortSignal;
}

/**
 * Has a request signed by whoever issues SVIDs; gives DER certificates, the leaf first.
 *
 * @throws SpiffeError `ERR_SPIFFE_CREDENTIAL_DENIED` when the issuer refuses it; anything else for a failure that may pass.
 */
export type Mint = (request: MintRequest) => Promise<readonly Uint8Array[]>;

/** A {@link Mint} with a connection of its own. */
export interface ConnectedMint extends Mint {
  close(): void;
  [Symbol.dispose](): void;
}

/** @internal */
export function connectedMint(mint: Mint, close: () => void): ConnectedMint {
  return Object.assign((request: MintRequest) => mint(request), {
    close,
    [Symbol.dispose]: close,
  });
}
