export type { Authority } from './authority.js';
export { type IssuedSvid, type IssueOptions, TestCa, type TestCaOptions } from './ca.js';
export { FakeClock } from './clock.js';
export type { KeyType } from './keys.js';
