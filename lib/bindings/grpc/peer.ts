import {
  type ServerInterceptingCall as InterceptingCall,
  type MethodDefinition,
  ServerInterceptingCall,
  type ServerInterceptor,
  status,
} from '@grpc/grpc-js';
import { SpiffeError } from '../../errors.js';
import { capturedPeer, capturePeer, carriedPeer, NOBODY } from '../../identity/peer.js';
import { REFUSED, whyNotPeer } from '../../identity/peer-refusal.js';
import { type PeerRule, parsePeerRule } from '../../identity/peer-rule.js';
import type { Peer } from '../../identity/source.js';
import { checkOptions } from '../../internal/options.js';
import { checkLogger, type Logger, SILENT } from '../../log.js';

/** What a peer can be read from: a call, as a handler or an interceptor gets it. */
export interface PeerCarrier {
  getAuthContext(): object;
}

/**
 * Who makes this call, as verified when its connection was made. It stays known when that is gone.
 *
 * @throws SpiffeError `ERR_SPIFFE_PEER_UNKNOWN` when the call did not come through a server of {@link createServer};
 * `ERR_SPIFFE_PEER_NO_CERTIFICATE` for a client without an SVID, which only a server meets that allows
 * `UNAUTHENTICATED_CLIENTS`.
 */
export function peerOf(call: PeerCarrier): Peer {
  const peer = peerIfAny(call);
  if (peer !== undefined) return peer;
  throw new SpiffeError(
    'ERR_SPIFFE_PEER_NO_CERTIFICATE',
    'cannot tell who makes this call: the client showed no SVID, and the server allows UNAUTHENTICATED_CLIENTS; ask peerIfAny, or put requirePeer before the handler',
  );
}

/**
 * Who makes this call, where a server allows `UNAUTHENTICATED_CLIENTS`: `undefined` for a client that showed no SVID.
 *
 * @throws SpiffeError `ERR_SPIFFE_PEER_UNKNOWN` as {@link peerOf} does.
 */
export function peerIfAny(call: PeerCarrier): Peer | undefined {
  const peer = capturedPeer(call.getAuthContext());
  if (peer === NOBODY) return undefined;
  if (peer !== undefined) return peer;
  throw new SpiffeError(
    'ERR_SPIFFE_PEER_UNKNOWN',
    'cannot tell who makes this call: it came by a port that has no gate; listen by createServer alone',
  );
}

type AuthContext = ReturnType<InterceptingCall['getAuthContext']>;

/** By session of http2: the peer is that of its connection, and to ask through its proxy costs every call. */
const contexts = new WeakMap<object, AuthContext | undefined>();

function contextOf(session: { readonly socket: object }): AuthContext | undefined {
  if (contexts.has(session)) return contexts.get(session);
  const { peer } = carriedPeer({ session });
  let context: AuthContext | undefined;
  if (peer !== undefined) {
    context = { transportSecurityType: 'ssl' };
    capturePeer(context, peer);
  }
  contexts.set(session, context);
  return context;
}

/** Of grpc-js's own call: the stream of http2. Without it nobody is known, and so nobody let through. */
interface CallOnHttp2 {
  readonly stream?: { readonly session?: { readonly socket: object } };
}

/**
 * The innermost interceptor of a server behind the gate: takes the peer from the connection, and shows it by the one
 * way that leads from a handler through every other interceptor to here.
 */
export const withPeer: ServerInterceptor = (_, call) => {
  const session = (call as CallOnHttp2).stream?.session;
  const context = session === undefined ? undefined : contextOf(session);
  if (context !== undefined) call.getAuthContext = () => context;
  return call as InterceptingCall;
};

/** The part of a method's definition that says which it is. */
export type Method = Pick<MethodDefinition<unknown, unknown>, 'path' | 'requestStream'>;

/** A method, or all of those of a service, as generated code and grpc-js describe them. */
export type Methods = Method | Readonly<Record<string, Method>>;

/** Options of {@link requirePeer}. */
export interface RequirePeerOptions {
  /** The services and methods that are narrowed. Default: all of the server's. */
  readonly of?: Methods | readonly Methods[];
  /** Told of each refusal, with the peer's ID and the method. Default: silent. */
  readonly logger?: Logger;
}

/**
 * An interceptor for `new Server({ interceptors: [requirePeer(rule)] })`, which narrows services or methods to some of the
 * peers that the server lets in. Others get `PERMISSION_DENIED`, a client without an SVID `UNAUTHENTICATED`; the status
 * does not say who would be let through, and the handler is not reached.
 *
 * @throws SpiffeError `ERR_SPIFFE_PEER_RULE_INVALID` or `ERR_SPIFFE_OPTION_INVALID`, here and not at the first call.
 */
export function requirePeer(rule: PeerRule, options: RequirePeerOptions = {}): ServerInterceptor {
  const accepts = parsePeerRule(rule);
  const { of, logger: given = SILENT } = checkOptions(options, '{ of: ReportsService }');
  const logger = checkLogger(given);
  const paths = 'of' in options ? pathsOf(of) : undefined;
  return (method, call) => {
    const pass = call as InterceptingCall;
    if (paths?.has(method.path) === false) return pass;
    const peer = capturedPeer(call.getAuthContext());
    const reason = whyNotPeer(peer, accepts);
    if (reason === undefined) return pass;
    const shown = peer === NOBODY ? undefined : peer?.id.toString();
    logger.warn({ peer: shown, reason, method: method.path }, REFUSED);
    const answer =
      shown === undefined
        ? { code: status.UNAUTHENTICATED, details: 'this method needs a client with an SVID' }
        : { code: status.PERMISSION_DENIED, details: 'this peer may not call this method' };
    return new ServerInterceptingCall(call, {
      // What has come is not passed on: neither metadata nor messages, so that no handler begins.
      start: (next) => next({ onReceiveMetadata: () => call.sendStatus(answer) }),
    });
  };
}

function pathsOf(of: unknown): ReadonlySet<string> {
  const paths = [of].flat().flatMap((each) => pathsIn(each));
  if (paths.length > 0) return new Set(paths);
  throw noMethods();
}

function pathsIn(methods: unknown): string[] {
  if (typeof methods !== 'object' || methods === null) throw noMethods();
  const all = 'path' in methods && 'requestStream' in methods ? [methods] : Object.values(methods);
  return all.map((method: unknown) => {
    const path: unknown = (method as { readonly path?: unknown } | undefined)?.path;
    if (typeof path === 'string') return path;
    throw noMethods();
  });
}

function noMethods(): SpiffeError {
  return new SpiffeError(
    'ERR_SPIFFE_OPTION_INVALID',
    'cannot require a peer of these methods: give the definition of a service or of a method of it, such as ReportsService or ReportsService.remove',
  );
}
