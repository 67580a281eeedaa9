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
