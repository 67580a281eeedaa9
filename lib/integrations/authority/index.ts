export {
  createTaskAuthority,
  type TaskAuthority,
  type TaskAuthorityOptions,
  type TaskCredentialQuestion,
} from './authority.js';
export { mintWithDevelopmentServer } from './development.js';
export type { ConnectedMint, Mint, MintRequest } from './mint.js';
export { mintWithSpire, type SpireMintOptions } from './spire.js';
