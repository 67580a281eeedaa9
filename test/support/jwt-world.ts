import type { KeyObject } from 'node:crypto';
import {
  JwtBundle,
  type JwtBundleOptions,
  JwtBundles,
  type JwtSvid,
  type VerifyJwtOptions,
  verifyJwtSvid,
} from 'agent-spiffe';
import { makeKey } from '#lib/testing/keys.js';
import { craftToken, goodParts, publicJwk, type TokenParts } from './craft-token.js';

/** The instant for which what is made here is good. */
export const NOW: Date = new Date('2030-01-01T00:00:00Z');
export const NOW_SECONDS: number = NOW.getTime() / 1000;
export const TD = 'example.org';
export const ID = 'spiffe://example.org/workload';
export const AUDIENCE = 'reports';

/** The keys of `example.org`, each under its kid; `other` is nobody's. */
export const KEYS = {
  'key-1': makeKey('ec-p256'),
  'p-384': makeKey('ec-p384'),
  'p-521': makeKey('ec-p521'),
  rsa: makeKey('rsa-2048'),
  other: makeKey('ec-p256'),
} as const;

export type Jwk = Record<string, unknown>;

/** The entries of a good JWK set. */
export function entries(): Jwk[] {
  return (['key-1', 'p-384', 'p-521', 'rsa'] as const).map((kid) => publicJwk(KEYS[kid], kid));
}

/** A token that is good but for what is changed; a member set to `undefined` is left out. */
export function token(change: TokenParts = {}, key: KeyObject = KEYS['key-1']): string {
  const { header, claims } = goodParts(NOW);
  return craftToken(key, {
    header: { ...header, ...change.header },
    claims: { ...claims, ...change.claims },
  });
}

/** How a token is to be verified where that is not as usual. */
export interface Circumstances extends Partial<VerifyJwtOptions> {
  readonly keys?: readonly unknown[];
  readonly bundles?: JwtBundles;
  readonly format?: JwtBundleOptions['format'];
}

export function bundle(
  keys: readonly unknown[] = entries(),
  format: JwtBundleOptions['format'] = 'jwks',
  trustDomain = TD,
): JwtBundle {
  return JwtBundle.parse(trustDomain, JSON.stringify({ keys }), { format });
}

/** Verifies for the audience `reports` at {@link NOW}, without leeway, by the good keys. */
export function verify(text: string, circumstances: Circumstances = {}): Promise<JwtSvid> {
  const { keys, format, bundles = JwtBundles.of(bundle(keys, format)), ...options } = circumstances;
  return verifyJwtSvid(text, bundles, { audience: AUDIENCE, now: NOW, leewayMs: 0, ...options });
}
