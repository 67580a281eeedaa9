import { isJsonObject } from '../../internal/json.js';
import { type Confidentiality, type Labels, rankOf } from '../flow/labels.js';

/** The header by which an answer says what whoever answers has read. */
export const LABELS_HEADER = 'spiffe-labels';
/** The same in the `_meta` of an MCP result. */
export const LABELS_META_KEY = 'agent-spiffe/labels';

/** What is to be taken as said by whoever says nothing, and of whom nothing is known. */
export const WORST: Labels = Object.freeze({
  confidentiality: 'restricted',
  integrity: 'untrusted',
});

/** Labels as the header has them. */
export function labelsToHeader({ confidentiality, integrity }: Labels): string {
  return `${confidentiality}, ${integrity}`;
}

/** What a header says; `undefined` when it says nothing that is understood. */
export function labelsFromHeader(text: string | null | undefined): Labels | undefined {
  const [confidentiality, integrity, ...more] = (text ?? '').split(', ');
  return more.length > 0 ? undefined : labelsFromJson({ confidentiality, integrity });
}

/**
 * What an answer says, by what was read of it; `silent` where it says nothing. What says something that is not understood
 * could have said anything.
 */
export function labelsTold<Silent>(
  told: unknown,
  read: Labels | undefined,
  silent: Silent,
): Labels | Silent {
  return read ?? (told === null || told === undefined ? silent : WORST);
}

/** What a value of JSON says; `undefined` when it is nothing that is understood. */
export function labelsFromJson(value: unknown): Labels | undefined {
  if (!isJsonObject(value)) return undefined;
  const { confidentiality, integrity } = value as Partial<Record<keyof Labels, unknown>>;
  if (integrity !== 'trusted' && integrity !== 'untrusted') return undefined;
  if (rankOf(confidentiality as Confidentiality) < 0) return undefined;
  return Object.freeze({ confidentiality: confidentiality as Confidentiality, integrity });
}
