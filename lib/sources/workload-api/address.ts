import { SpiffeError } from '../../errors.js';
import { quote } from '../../internal/quote.js';

/** Where a Workload API listens. */
export type WorkloadApiAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | {
      readonly kind: 'tcp';
      /** An IPv4 or IPv6 address, without brackets. */
      readonly host: string;
      readonly port: number;
    };

/** The variable that names the address where none is given (WLE-07). */
export const ADDRESS_VARIABLE = 'SPIFFE_ENDPOINT_SOCKET';

/** RFC 3986 3.3: `pchar` and the slash. */
const PATH = /^(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*$/;

/**
 * Parses the address of a Workload API (SPIFFE_Workload_Endpoint §4): `unix:///run/spire/agent.sock`,
 * `unix:/run/spire/agent.sock`, `tcp://127.0.0.1:8081`, `tcp://[::1]:8081`.
 *
 * @throws SpiffeError `ERR_SPIFFE_ADDRESS_INVALID`, naming the rule that the text breaks.
 */
export function parseWorkloadApiAddress(text: string): WorkloadApiAddress {
  return parse(text, quote(text));
}

function parse(text: string, shown: string): WorkloadApiAddress {
  if (typeof text !== 'string') throw invalid(shown, 'it is not a string');
  if (text === '') throw invalid(shown, 'it is empty');
  // No URL parser: it strips blanks, takes `tcp://127.1:80` for an address and hides an empty query.
  const colon = text.indexOf(':');
  const scheme = text.slice(0, Math.max(colon, 0)).toLowerCase();
  const rest = text.slice(colon + 1);
  if (scheme === 'unix') return parseUnix(shown, rest);
  if (scheme === 'tcp') return parseTcp(shown, rest);
  throw invalid(shown, 'it begins with neither unix: nor tcp: (WLE-08)');
}

/**
 * The address that was given, or that of the environment.
 *
 * @throws SpiffeError `ERR_SPIFFE_ADDRESS_INVALID`, also when there is none: no address is guessed (WLE-07).
 */
export function resolveWorkloadApiAddress(
  given: string | undefined,
  environment: NodeJS.ProcessEnv = process.env,
): WorkloadApiAddress {
  if (given !== undefined) return parseWorkloadApiAddress(given);
  const text = environment[ADDRESS_VARIABLE];
  if (text === undefined || text === '') {
    throw new SpiffeError(
      'ERR_SPIFFE_ADDRESS_INVALID',
      `cannot tell where the Workload API is: no address was given and ${ADDRESS_VARIABLE} is ${text === '' ? 'set but empty' : 'not set'}; set it to the agent's socket, such as unix:///run/spire/agent.sock`,
    );
  }
  return parse(text, `${ADDRESS_VARIABLE}=${quote(text)}`);
}

/** An address as it may stand in a message. */
export function describeAddress(address: WorkloadApiAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  return `tcp://${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
}

function parseUnix(shown: string, rest: string): WorkloadApiAddress {
  // WLE-09: no authority. `//` begins one, and only an empty one may stand before the path's own slash.
  const encoded = rest.startsWith('//') ? rest.slice(2) : rest;
  if (encoded === '') throw invalid(shown, 'the path is missing (WLE-09)');
  if (!encoded.startsWith('/')) {
    const why = rest.startsWith('//')
      ? 'a host is not allowed; write unix:///path'
      : 'the path does not begin with a slash';
    throw invalid(shown, `${why} (WLE-09)`);
  }
  if (/[?#]/.test(encoded)) throw invalid(shown, 'a query or fragment is not allowed (WLE-09)');
  if (!PATH.test(encoded))
    throw invalid(
      shown,
      'it holds a character that RFC 3986 does not allow in a path; percent-encode it',
    );
  let path: string;
  try {
    path = decodeURIComponent(encoded);
  } catch (cause) {
    throw invalid(shown, 'its percent-encoding is not UTF-8', cause);
  }
  if (/\p{Cc}/u.test(path)) throw invalid(shown, 'a control character is no part of a socket path');
  return Object.freeze({ kind: 'unix', path });
}

function parseTcp(shown: string, rest: string): WorkloadApiAddress {
  const match = /^\/\/(.*?)(?::([0-9]*))?$/s.exec(rest);
  const authority = match?.[1];
  if (authority === undefined) throw invalid(shown, 'write tcp://<IP address>:<port> (WLE-10)');
  if (/[/?#@]/.test(authority))
    throw invalid(shown, 'user info, path, query and fragment are not allowed (WLE-10)');
  const host = /^\[(.*)\]$/s.exec(authority)?.[1];
  // RFC 3986 3.2.2: brackets are for IPv6 alone, and it has no zone there.
  // Loaded here and not on import: of those who import this library, hardly one uses TCP.
  const { isIPv4, isIPv6 } = process.getBuiltinModule('node:net');
  const known = host === undefined ? isIPv4(authority) : isIPv6(host) && !host.includes('%');
  if (!known)
    throw invalid(
      shown,
      'the host is not an IP address; names are not looked up, and IPv6 stands in brackets (WLE-10)',
    );
  const digits = match?.[2] ?? '';
  if (digits === '') throw invalid(shown, 'the port is missing (WLE-10)');
  const port = Number(digits);
  if (port < 1 || port > 65535) throw invalid(shown, 'the port is not between 1 and 65535');
  return Object.freeze({ kind: 'tcp', host: host ?? authority, port });
}

function invalid(shown: string, why: string, cause?: unknown): SpiffeError {
  return new SpiffeError(
    'ERR_SPIFFE_ADDRESS_INVALID',
    `cannot use ${shown} as the address of a Workload API: ${why}`,
    { cause },
  );
}
