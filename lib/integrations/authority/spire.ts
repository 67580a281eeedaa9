import { isIP } from 'node:net';
import { checkMembers } from '../../agent/options.js';
import { SpiffeError } from '../../errors.js';
import type { PeerRule } from '../../identity/peer-rule.js';
import type { Identity } from '../../identity/source.js';
import { checkOptions } from '../../internal/options.js';
import { quote } from '../../internal/quote.js';
import { checkIdentity } from '../../tls/identity.js';
import { parseRule } from '../../tls/rule.js';
import { type ConnectedMint, connectedMint } from './mint.js';
import type { SpireClient } from './spire-client.js';

/** Options of {@link mintWithSpire}. */
export interface SpireMintOptions {
  /** Host and port of SPIRE's server: `spire-server.internal:8081`. */
  readonly address: string;
  /** Who the authority is to SPIRE. SPIRE's authorization policy must let this ID mint, and should let it do no more. */
  readonly identity: Identity;
  /** Who must answer. Default: the ID that SPIRE gives its servers, `/spire/server` in the trust domain of `identity`. */
  readonly server?: PeerRule;
}

const ADDRESS = /^(?:\[([0-9a-fA-F:.]+)\]|([a-zA-Z0-9.-]+)):([0-9]{1,5})$/;

/**
 * Mints by SPIRE's server, over mutual TLS, with `spire.api.server.svid.v1.SVID/MintX509SVID`. Connects with the first
 * request, and again whenever that is lost. Loads grpc-js then.
 *
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID`, `ERR_SPIFFE_PEER_RULE_INVALID`; what `identity.x509.svid()` throws.
 */
export function mintWithSpire(options: SpireMintOptions): ConnectedMint {
  checkMembers('the options of a mint', checkOptions(options, "{ address: 'spire:8081', … }"), [
    'address',
    'identity',
    'server',
  ]);
  const { address, identity, server } = options;
  const { trustDomain } = checkIdentity(identity).x509.svid().id;
  const rule = parseRule(server ?? `${trustDomain.idString}/spire/server`);
  const to = { ...parseAddress(address), identity, rule };
  let client: Promise<SpireClient> | undefined;
  let closed = false;
  return connectedMint(
    async (request) => {
      if (closed) {
        throw new SpiffeError(
          'ERR_SPIFFE_SOURCE_CLOSED',
          'cannot mint an SVID: the connection to SPIRE is closed',
        );
      }
      client ??= import('./spire-client.js').then(({ SpireClient }) => new SpireClient(to));
      return await (await client).mint(request);
    },
    () => {
      closed = true;
      void client?.then((open) => open.close());
    },
  );
}

function parseAddress(address: string): { readonly host: string; readonly port: number } {
  const [, ipv6, name, port] = ADDRESS.exec(address) ?? [];
  const host = ipv6 ?? name;
  const right = host !== undefined && (ipv6 === undefined || isIP(ipv6) === 6);
  if (right && Number(port) > 0 && Number(port) < 65_536) return { host, port: Number(port) };
  throw new SpiffeError(
    'ERR_SPIFFE_OPTION_INVALID',
    `cannot take ${quote(address)} as the address of SPIRE's server: give host and port, such as spire-server.internal:8081`,
  );
}
