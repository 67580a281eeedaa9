import { quote } from '../../internal/quote.js';
import { checkMembers, optionError } from '../options.js';

/** How far data may travel, from anywhere to hardly at all. */
export type Confidentiality = 'public' | 'internal' | 'confidential' | 'restricted';

/** Whether whoever could have written the data is trusted to steer the task. */
export type Integrity = 'trusted' | 'untrusted';

/** What is known about data, or about a task that has read it. */
export interface Labels {
  readonly confidentiality: Confidentiality;
  readonly integrity: Integrity;
}

/** The levels of confidentiality, least first. */
export const CONFIDENTIALITIES: readonly Confidentiality[] = Object.freeze([
  'public',
  'internal',
  'confidential',
  'restricted',
]);

/** Where a level stands among {@link CONFIDENTIALITIES}; -1 when it is none of them. */
export function rankOf(confidentiality: Confidentiality): number {
  return CONFIDENTIALITIES.indexOf(confidentiality);
}

/** A level of confidentiality as given, or `ERR_SPIFFE_OPTION_INVALID`. */
export function checkConfidentiality(what: string, value: Confidentiality): Confidentiality {
  if (rankOf(value) >= 0) return value;
  throw optionError(what, `${quote(value)} is none of ${CONFIDENTIALITIES.join(', ')}`);
}

/** Labels as given, completed by `defaults` and frozen, or `ERR_SPIFFE_OPTION_INVALID`. */
export function checkLabels(what: string, given: Partial<Labels>, defaults: Labels): Labels {
  checkMembers(what, given, ['confidentiality', 'integrity']);
  const { confidentiality = defaults.confidentiality, integrity = defaults.integrity } = given;
  if (integrity !== 'trusted' && integrity !== 'untrusted')
    throw optionError(what, `${quote(integrity)} is neither trusted nor untrusted`);
  return Object.freeze({
    confidentiality: checkConfidentiality(what, confidentiality),
    integrity,
  });
}

/** The labels of data that has both in it. */
export function joinLabels(one: Labels, other: Labels): Labels {
  const higher = rankOf(one.confidentiality) >= rankOf(other.confidentiality) ? one : other;
  const untrusted = one.integrity === 'untrusted' || other.integrity === 'untrusted';
  return Object.freeze({
    confidentiality: higher.confidentiality,
    integrity: untrusted ? 'untrusted' : 'trusted',
  });
}
