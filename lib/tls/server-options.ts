import { SpiffeError } from '../errors.js';
import type { PeerRule, UNAUTHENTICATED_CLIENTS } from '../identity/peer-rule.js';
import { checkDuration, checkOptions } from '../internal/options.js';
import { quote } from '../internal/quote.js';
import { checkLogger, type Logger, SILENT } from '../log.js';
import { parseAdmission } from './rule.js';
import type { GuardOptions } from './serve.js';

/** What every server is told. */
export interface ProtectOptions {
  /**
   * Whom the server lets in. There is no default. `UNAUTHENTICATED_CLIENTS` lets in everyone: a client that shows a
   * certificate must still be a valid peer, whose ID `peerOf` tells; for one that shows none, `peerOf` throws.
   */
  readonly allow: PeerRule | typeof UNAUTHENTICATED_CLIENTS;
  /** The oldest version of TLS that is spoken. Default: `TLSv1.2`. */
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3';
  /**
   * Told of each peer that is refused, with code, reason and address, and of each connection closed because trust was
   * withdrawn. Default: silent.
   */
  readonly logger?: Logger;
}

/** What a server that we make ourselves is told. */
export interface ServerOptions extends ProtectOptions {
  /** How long a client may take over its TLS handshake, in milliseconds. Default: 10 000. */
  readonly handshakeTimeoutMs?: number;
}

const HANDSHAKE_TIMEOUT_MS = 10_000;
const EXAMPLE = "{ allow: 'spiffe://example.org/agents/*' }";

/** @throws SpiffeError `ERR_SPIFFE_PEER_RULE_INVALID` or `ERR_SPIFFE_OPTION_INVALID`. */
export function parseProtect(options: ProtectOptions): GuardOptions {
  const { allow, minVersion, logger = SILENT } = checkOptions(options, EXAMPLE);
  if (minVersion !== undefined && minVersion !== 'TLSv1.2' && minVersion !== 'TLSv1.3') {
    throw new SpiffeError(
      'ERR_SPIFFE_OPTION_INVALID',
      `cannot take ${quote(minVersion)} as minVersion: give TLSv1.2 or TLSv1.3`,
    );
  }
  return {
    ...parseAdmission(allow),
    logger: checkLogger(logger),
    ...(minVersion === undefined ? {} : { minVersion }),
  };
}

/** @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID`. */
export function parseHandshakeTimeout(options: ServerOptions): number {
  const { handshakeTimeoutMs = HANDSHAKE_TIMEOUT_MS } = checkOptions(options, EXAMPLE);
  return checkDuration('handshakeTimeoutMs', handshakeTimeoutMs);
}
