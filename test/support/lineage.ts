import { createPublicKey } from 'node:crypto';
import type { Authority } from '#lib/testing/authority.js';
import { subjectKeyIdentifier } from '#lib/testing/extensions.js';
import { authority, type Case, type Change, leaf, put, ROOT, set } from './chain.js';

/** A leaf below an intermediate, changed, below the root. */
export function below(...changes: readonly Change[]): Case {
  const middle = authority({ issuer: ROOT }, ...changes);
  return { chain: [leaf(middle), middle.certificate] };
}

/** A leaf below an anchor, changed. */
export function under(...changes: readonly Change[]): Case {
  const anchor = authority({}, ...changes);
  return { chain: [leaf(anchor)], anchors: [anchor.certificate] };
}

/** The same name and key once more, certified by another. */
export function crossSign(
  subject: Authority,
  issuer: Authority,
  ...changes: readonly Change[]
): Authority {
  return {
    ...authority(
      { issuer },
      set({ subject: subject.name, publicKey: createPublicKey(subject.key) }),
      put(subjectKeyIdentifier(subject.keyId)),
      ...changes,
    ),
    key: subject.key,
    name: subject.name,
    keyId: subject.keyId,
  };
}

/** A certificate for itself: one more under the same name, as an authority makes when it changes its key. */
export const selfIssued = (issuer: Authority, ...changes: readonly Change[]): Authority =>
  authority({ issuer }, set({ subject: issuer.name }), ...changes);

/** So many authorities, each below the one before. */
export function line(length: number, ...changes: readonly Change[]): Authority[] {
  const all: Authority[] = [];
  for (let i = 0; i < length; i++) all.push(authority({ issuer: all.at(-1) ?? ROOT }, ...changes));
  return all;
}
export const lineOf = (all: readonly Authority[]): Case => ({
  chain: [leaf(all.at(-1)), ...all.map(({ certificate }) => certificate).toReversed()],
});

/** An authority whose name is that of another, and nothing else. */
export const namesake = (of: Authority, ...changes: readonly Change[]): Authority =>
  authority({}, set({ subject: of.name, issuer: of.name }), ...changes);
