import { isAsyncFunction, isPromise } from 'node:util/types';
import { SpiffeError, type SpiffeErrorCode } from '../../errors.js';
import { type PeerRule, WEB_PKI } from '../../identity/peer-rule.js';
import { SpiffeId } from '../../identity/spiffe-id.js';
import { quote } from '../../internal/quote.js';
import {
  type PemCertificates,
  parseRule,
  parseWebRule,
  type Rule,
  type WebRule,
} from '../../tls/rule.js';

/** Who must answer at an origin: a rule or `WEB_PKI`, or an object that holds it. */
export type PeerBinding = PeerRule | typeof WEB_PKI | SpiffeBinding | WebBinding;

/** What a binding may say beside who answers. */
export interface JwtBinding {
  /**
   * Each request carries a JWT-SVID for this audience, the name of the service, as `Authorization: Bearer`. One that has
   * an `Authorization` of its own is refused. Default: no token is sent.
   */
  readonly jwtAudience?: string;
}

/** An origin where a SPIFFE ID answers. */
export interface SpiffeBinding extends JwtBinding {
  readonly id: PeerRule;
}

/** An origin of the web. */
export interface WebBinding extends JwtBinding {
  readonly id: typeof WEB_PKI;
  /** The roots, in PEM, that count for this origin in place of the web's: those of a private CA. */
  readonly ca?: PemCertificates;
}

/**
 * Which peer must answer where. Either an object of origins, written `https://host` or `https://host:port`; or a
 * synchronous function of the URL, asked anew for each request, whose `undefined` refuses the target. A connection is
 * used again only while the answer is the same rule: the same text, or the same function.
 */
export type Peers = Readonly<Record<string, PeerBinding>> | ((url: URL) => PeerBinding | undefined);

/** A target whose peer is known. */
export interface Target {
  /** As `URL.origin` gives it. */
  readonly origin: string;
  readonly host: string;
  readonly port: number;
  readonly rule: Rule | WebRule;
  /** For whom the JWT-SVID is that each request carries; `undefined` for none. */
  readonly jwtAudience: string | undefined;
}

/** What a request may not be sent to, and why. */
export class TargetError extends SpiffeError {
  /** The origin that was refused. */
  readonly origin: string;

  constructor(code: SpiffeErrorCode, origin: string, why: string, cause?: unknown) {
    super(code, `cannot send a request to ${quote(origin)}: ${why}`, { cause });
    this.origin = origin;
  }
}

/** Finds targets, or throws {@link TargetError}. */
export interface Targets {
  of(url: URL): Target;
  /** That of a path at an origin; undici asks so for every request. */
  at(origin: string, path: string): Target;
}

/** Makes the target of an origin. */
type MakeTarget = (url: URL, binding: PeerBinding) => Target;

/**
 * Parses the whole of `peers` now, so that a mistake in it fails where it is written.
 *
 * @param hasJwt - whether there is anything that gives tokens; asked only where one is wanted.
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` or `ERR_SPIFFE_PEER_RULE_INVALID`.
 */
export function parsePeers(peers: Peers, hasJwt: () => boolean): Targets {
  const makeTarget: MakeTarget = (url, binding) => {
    const target = parseTarget(url, binding);
    if (target.jwtAudience !== undefined && !hasJwt())
      throw invalid(
        `a JWT-SVID is wanted for ${quote(url.origin)}, and this identity has none to give: leave jwtAudience out, or give an identity with jwt, such as a Workload`,
      );
    return target;
  };
  if (typeof peers === 'function') {
    if (isAsyncFunction(peers))
      throw invalid('it is an async function; the answer is needed at once');
    const of = (url: URL): Target => askFor(url, peers, makeTarget);
    return { of, at: (origin, path) => of(urlAt(origin, path)) };
  }
  if (typeof peers !== 'object' || peers === null || Array.isArray(peers)) {
    throw invalid(
      `${quote(peers)} is neither an object of origins nor a function; there is no default`,
    );
  }
  const targets = new Map<string, Target>();
  for (const [text, binding] of Object.entries(peers)) {
    const url = parseOrigin(text);
    if (targets.has(url.origin)) throw invalid(`${quote(text)} names ${url.origin} a second time`);
    targets.set(url.origin, makeTarget(url, binding));
  }
  if (targets.size === 0) throw invalid('it names no origin, so every request would be refused');
  const of = (url: URL): Target => {
    const target = targets.get(url.origin);
    if (target !== undefined) return target;
    throw insecure(url) ?? notBound(url, 'no peer is named for this origin; add it to peers');
  };
  // To parse what is an origin already would cost a request 5 % of its time.
  return { of, at: (origin, path) => targets.get(origin) ?? of(urlAt(origin, path)) };
}

/**
 * The URL of `path` at `origin`. Never resolved as a reference: `//other.host/` is a path here, whatever a browser
 * makes of it.
 */
export function urlAt(origin: string, path: string): URL {
  const url = new URL(origin);
  const query = path.indexOf('?');
  url.pathname = query < 0 ? path : path.slice(0, query);
  url.search = query < 0 ? '' : path.slice(query);
  return url;
}

function askFor(
  url: URL,
  peers: (url: URL) => PeerBinding | undefined,
  makeTarget: MakeTarget,
): Target {
  const refusal = insecure(url);
  if (refusal !== undefined) throw refusal;
  let binding: PeerBinding | undefined;
  try {
    // A copy: whoever answers may not change where the request goes.
    binding = peers(new URL(url));
  } catch (cause) {
    throw notBound(url, 'the function given as peers failed', cause);
  }
  if (binding === undefined) throw notBound(url, 'the function given as peers names no peer');
  if (isPromise(binding)) {
    // Nobody waits for it, and its rejection must not end the process.
    binding.catch(() => undefined);
    throw notBound(url, 'the function given as peers answered with a promise, not at once');
  }
  return makeTarget(url, binding);
}

function parseTarget(url: URL, binding: PeerBinding): Target {
  return Object.freeze({
    origin: url.origin,
    // URL writes an IPv6 address in brackets, sockets take it without.
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: Number(url.port || 443),
    ...parseBinding(binding),
  });
}

function parseBinding(binding: PeerBinding): Pick<Target, 'rule' | 'jwtAudience'> {
  if (binding === WEB_PKI) return { rule: parseWebRule(), jwtAudience: undefined };
  if (!isObject(binding)) return { rule: parseRule(binding), jwtAudience: undefined };
  const { id, jwtAudience, ...rest } = binding;
  checkAudience(jwtAudience);
  if (id !== WEB_PKI) {
    checkFields(rest, []);
    return { rule: parseRule(id), jwtAudience };
  }
  checkFields(rest, ['ca']);
  return { rule: parseWebRule((rest as Omit<WebBinding, 'id'>).ca), jwtAudience };
}

function isObject(binding: PeerBinding): binding is SpiffeBinding | WebBinding {
  if (typeof binding !== 'object' || binding === null) return false;
  return !(binding instanceof SpiffeId) && !Array.isArray(binding);
}

/** JWT-SVID 3.2 and 7.2: the name of one service. A token for several would serve each of them at the others. */
function checkAudience(audience: unknown): void {
  if (audience === undefined || (typeof audience === 'string' && audience !== '')) return;
  throw invalid(
    `${quote(audience)} is no jwtAudience: give the name of the one service that the token is for`,
  );
}

function checkFields(rest: object, known: readonly string[]): void {
  const unknown = Object.keys(rest).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw invalid(
    `such a binding has no field ${quote(unknown)}, only ${['id', ...known, 'jwtAudience'].join(', ')}`,
  );
}

function parseOrigin(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'https:') throw invalid(`${quote(text)} is not the origin of an https URL`);
  // URL forgives much (user info, a path, blanks, short forms of an address): what is meant must be written.
  if (text.toLowerCase() !== url.origin && text.toLowerCase() !== `${url.origin}:443`)
    throw invalid(`${quote(text)} is not an origin: write it as ${quote(url.origin)}`);
  return url;
}

function insecure(url: URL): TargetError | undefined {
  if (url.protocol === 'https:') return undefined;
  const shown = url.origin === 'null' ? url.protocol : url.origin;
  return new TargetError(
    'ERR_SPIFFE_TARGET_INSECURE',
    shown,
    'without TLS no peer can be verified; use https',
  );
}

function notBound(url: URL, why: string, cause?: unknown): TargetError {
  return new TargetError('ERR_SPIFFE_TARGET_NOT_BOUND', url.origin, why, cause);
}

function invalid(why: string): SpiffeError {
  return new SpiffeError('ERR_SPIFFE_OPTION_INVALID', `cannot take these peers: ${why}`);
}
