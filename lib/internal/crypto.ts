import type * as Crypto from 'node:crypto';

let loaded: typeof Crypto | undefined;

/** node:crypto, loaded with the first key: 3 ms of the start of whoever imports this library and opens nothing. */
export function nodeCrypto(): typeof Crypto {
  loaded ??= process.getBuiltinModule('node:crypto');
  return loaded;
}
