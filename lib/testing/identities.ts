import { SpiffeError } from '../errors.js';
import { SpiffeId } from '../identity/spiffe-id.js';
import type { Clock } from '../internal/clock.js';
import { quote } from '../internal/quote.js';
import type { X509SvidEntry } from '../sources/workload-api/proto.js';
import type { IssuedSvid, TestCa } from './ca.js';

/** One identity that every caller is given. */
export interface ServedIdentity {
  readonly id: SpiffeId | string;
  /** What the identity is for; at most 1024 bytes, unlike every other one's. Default: none. */
  readonly hint?: string;
  /** Life of its SVIDs in milliseconds; of a JWT-SVID as far as those of the server live that long. Default: that of the server. */
  readonly ttlMs?: number;
  /** DNS names in its SVIDs. Default: none. */
  readonly dnsNames?: readonly string[];
}

/** What is served for one identity at present. */
export interface IdentityState {
  readonly id: string;
  /** Empty when there is none. */
  readonly hint: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** An identity for which a token may be asked. */
export interface EntitledIdentity {
  readonly id: string;
  readonly hint: string;
  readonly jwtTtlMs: number;
}

interface Held {
  readonly identity: ServedIdentity;
  readonly svid: IssuedSvid;
  /** When half of its life is over. */
  readonly renewAtMs: number;
}

/** Workload API §8. */
const LONGEST_HINT = 1024;

/** The identities of one trust domain's workloads, with an SVID for each. */
export class Identities {
  readonly #ca: TestCa;
  readonly #clock: Clock;
  #held: readonly Held[] = [];

  constructor(ca: TestCa, clock: Clock) {
    this.#ca = ca;
    this.#clock = clock;
  }

  /** The earliest instant at which an SVID is due to be renewed. */
  get renewAtMs(): number | undefined {
    return this.#held.length === 0
      ? undefined
      : Math.min(...this.#held.map(({ renewAtMs }) => renewAtMs));
  }

  /** Replaces the identities. One that stays as it was keeps its SVID. */
  replace(identities: readonly (ServedIdentity | SpiffeId | string)[]): void {
    const wanted = identities.map(asIdentity);
    checkHints(wanted);
    const now = this.#clock.now();
    const held = new Map(this.#held.map((one) => [issuedFor(one.identity), one]));
    this.#held = wanted.map((identity) => {
      const before = held.get(issuedFor(identity));
      return before === undefined ? this.#issue(identity, now) : { ...before, identity };
    });
  }

  /** Issues anew for every identity that is due by `byMs`. */
  renew(byMs: number = Number.POSITIVE_INFINITY): void {
    // One instant for all: what was issued together falls due together, and goes out in one message.
    const now = this.#clock.now();
    this.#held = this.#held.map((one) =>
      one.renewAtMs <= byMs ? this.#issue(one.identity, now) : one,
    );
  }

  get states(): readonly IdentityState[] {
    return this.#held.map(({ identity, svid }) => ({
      id: identity.id.toString(),
      hint: identity.hint ?? '',
      notBefore: svid.notBefore,
      notAfter: svid.notAfter,
    }));
  }

  get entitled(): readonly EntitledIdentity[] {
    const { jwtTtlMs } = this.#ca;
    return this.#held.map(({ identity: { id, hint = '', ttlMs = jwtTtlMs } }) => ({
      id: id.toString(),
      hint,
      jwtTtlMs: Math.min(ttlMs, jwtTtlMs),
    }));
  }

  entries(): readonly X509SvidEntry[] {
    const bundle = this.#ca.bundleDer;
    return this.#held.map(({ identity, svid }) => ({
      spiffeId: identity.id.toString(),
      x509Svid: svid.certificates,
      x509SvidKey: svid.key,
      bundle,
      hint: identity.hint ?? '',
    }));
  }

  #issue(identity: ServedIdentity, now: number): Held {
    const { notBefore, notAfter } = this.#ca.authority;
    // An authority is renewed as an SVID is: near its end it would cut the life of what it signs.
    if (now > (notBefore.getTime() + notAfter.getTime()) / 2) this.#ca.rotate();
    const svid = this.#ca.issueDer(identity.id, identity);
    return { identity, svid, renewAtMs: now + (svid.notAfter.getTime() - now) / 2 };
  }
}

function asIdentity(identity: ServedIdentity | SpiffeId | string): ServedIdentity {
  const given: ServedIdentity =
    typeof identity === 'string' || identity instanceof SpiffeId ? { id: identity } : identity;
  return { ...given, id: given.id.toString() };
}

/** What an SVID depends on. */
function issuedFor({ id, ttlMs, dnsNames }: ServedIdentity): string {
  return JSON.stringify([id, ttlMs, dnsNames]);
}

function checkHints(identities: readonly ServedIdentity[]): void {
  const seen = new Set<string>();
  for (const { id, hint = '' } of identities) {
    if (Buffer.byteLength(hint) > LONGEST_HINT) {
      throw badHint(id, hint, `it is longer than ${LONGEST_HINT} bytes (Workload API 8)`);
    }
    // Workload API 5.2.1: hints are unique within a response; empty ones never collide.
    if (hint !== '' && seen.has(hint)) {
      throw badHint(id, hint, 'another identity has it (Workload API 5.2.1); give each its own');
    }
    seen.add(hint);
  }
}

function badHint(id: SpiffeId | string, hint: string, why: string): SpiffeError {
  return new SpiffeError(
    'ERR_SPIFFE_OPTION_INVALID',
    `cannot serve ${quote(id.toString())} with the hint ${quote(hint)}: ${why}`,
  );
}
