import type { Case, Said } from '../support/mutation/case.js';
import { DIFFERENCES, type Difference, type GoSaid } from './differences.js';
import { TOKEN_DIFFERENCES } from './token-differences.js';

/** All that is meant: certificates and IDs, then tokens. */
export const ALL_DIFFERENCES: readonly Difference[] = [...DIFFERENCES, ...TOKEN_DIFFERENCES];

/** One document with both verdicts. */
export interface Judged {
  readonly one: Case;
  readonly ours: Said;
  readonly go: GoSaid;
}

/** Who is the stricter, or that both accept and get something else out of it; `undefined` where they agree. */
export function difference({ one, ours, go }: Judged): 'we' | 'go' | 'neither' | undefined {
  // go-spiffe refuses a whole set of keys for one that it does not take: what counts is each key.
  if (one.kind === 'jwks') return sameItems(ours, go) ? undefined : 'neither';
  if (ours.accept !== go.accept) return ours.accept ? 'go' : 'we';
  return !ours.accept || (ours.id === go.id && sameItems(ours, go)) ? undefined : 'neither';
}

function sameItems(ours: Said, go: Said): boolean {
  const [mine, theirs] = [new Set(ours.items), new Set(go.items)];
  return mine.size === theirs.size && [...mine].every((item) => theirs.has(item));
}

/** The difference that is meant, if it is one. */
export function explained(judged: Judged): Difference | undefined {
  const how = difference(judged);
  return ALL_DIFFERENCES.find(
    ({ kinds, stricter, applies }) =>
      stricter === how &&
      kinds.includes(judged.one.kind) &&
      applies(judged.one, judged.ours, judged.go),
  );
}

/** For whoever looks into it: everything, so that it can be judged again. */
export function describeCase({ one, ours, go }: Judged, how: string): string {
  return JSON.stringify({ how, kind: one.kind, made: one.made, ours, go, question: one.question });
}
