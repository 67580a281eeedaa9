import type { TLSSocket } from 'node:tls';
import { SpiffeError } from '../errors.js';
import type {
  X509BundleSet,
  X509BundleSnapshot,
  X509BundleSource,
  X509Snapshot,
  X509Source,
} from '../identity/source.js';
import type { SpiffeId } from '../identity/spiffe-id.js';
import type { TrustDomain } from '../identity/trust-domain.js';
import type { X509Svid } from '../identity/x509/svid.js';

/** A verified connection, and what it rests on. */
export interface Connection {
  readonly socket: TLSSocket;
  /** Who we were in its handshake; `undefined` when we showed no certificate. */
  readonly local: SpiffeId | undefined;
  /** Who the peer was; `undefined` when it showed no certificate. */
  readonly peer: SpiffeId | undefined;
  /** Destroys the socket, for this reason. */
  withdraw(reason: SpiffeError): void;
}

const bySource = new WeakMap<X509BundleSource, Connections>();

/**
 * Keeps a verified connection only as long as what it rests on: it is destroyed when the source is revoked, failed or
 * closed, when our own ID is no longer among the identities, and when the peer's trust domain has no authorities left.
 *
 * @throws SpiffeError `ERR_SPIFFE_TRUST_WITHDRAWN`, or a code of the source, when it does not hold even now.
 */
export function holdConnection(
  source: X509Source | X509BundleSource,
  connection: Connection,
): void {
  const { local } = connection;
  // Withdrawn while the handshake was under way: the loop below would not hear of it again.
  if (local !== undefined && !ownSvids(source).some(({ id }) => id.equals(local)))
    throw withdrawn(connection, `${local} was withdrawn from this process`);
  let connections = bySource.get(source);
  if (connections === undefined) {
    connections = new Connections(source);
    bySource.set(source, connections);
  }
  connections.add(connection);
}

/** The open connections of one source; while there is one, a loop follows the source's states. */
class Connections {
  readonly #source: X509BundleSource;
  readonly #open = new Set<Connection>();
  #following = new AbortController();

  constructor(source: X509BundleSource) {
    this.#source = source;
  }

  add(connection: Connection): void {
    this.#open.add(connection);
    connection.socket.once('close', () => {
      this.#open.delete(connection);
      if (this.#open.size === 0) this.#following.abort();
    });
    if (this.#open.size > 1) return;
    this.#following.abort();
    this.#following = new AbortController();
    void this.#follow(this.#following.signal);
  }

  /** Never rejects. Ends when the last connection has closed, or the source has nothing more to say. */
  async #follow(signal: AbortSignal): Promise<void> {
    try {
      for await (const snapshot of this.#source.updates({ signal })) this.#review(snapshot);
      if (!signal.aborted) this.#close(() => 'its source of identity ended');
    } catch (cause) {
      // A source that breaks says nothing about trust any more: without news, nothing is trusted.
      if (!signal.aborted) this.#close(() => 'its source of identity broke', cause);
    }
  }

  #review(snapshot: X509BundleSnapshot | X509Snapshot): void {
    const { state, bundles } = snapshot;
    const gone = state === 'revoked' || state === 'failed' || state === 'closed';
    const svids = 'svids' in snapshot ? snapshot.svids : [];
    const own = new Set(svids.map((svid) => svid.id.toString()));
    this.#close(({ local, peer }) => {
      if (gone) return `the identity is ${state}`;
      if (local !== undefined && !own.has(local.toString()))
        return `${local} was withdrawn from this process`;
      if (peer !== undefined && !isTrusted(bundles, peer.trustDomain))
        return `${peer.trustDomain} is no longer trusted`;
      return undefined;
    });
  }

  #close(reason: (connection: Connection) => string | undefined, cause?: unknown): void {
    for (const connection of this.#open) {
      const why = reason(connection);
      if (why === undefined) continue;
      this.#open.delete(connection);
      connection.withdraw(withdrawn(connection, why, cause));
    }
  }
}

/** Of a source from which something was shown, so that it has some. */
function ownSvids(source: X509Source | X509BundleSource): readonly X509Svid[] {
  return (source as X509Source).svids();
}

function isTrusted(bundles: X509BundleSet, trustDomain: TrustDomain): boolean {
  return (bundles.get(trustDomain)?.authorities.length ?? 0) > 0;
}

function withdrawn({ peer }: Connection, why: string, cause?: unknown): SpiffeError {
  const who = peer ?? 'a client without an SVID';
  const message = `closed the connection with ${who}: ${why}`;
  return new SpiffeError('ERR_SPIFFE_TRUST_WITHDRAWN', message, { cause });
}
