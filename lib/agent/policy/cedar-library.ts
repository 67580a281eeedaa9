import { createRequire } from 'node:module';
import type * as Cedar from '@cedar-policy/cedar-wasm/nodejs';
import { SpiffeError } from '../../errors.js';

/** The parts of Cedar that are used. */
export type CedarLibrary = Pick<
  typeof Cedar,
  | 'policySetTextToParts'
  | 'policyToJson'
  | 'preparsePolicySet'
  | 'statefulIsAuthorized'
  | 'validate'
>;

type Instantiate = new (
  module: unknown,
  imports: unknown,
) => { readonly exports: Readonly<Record<string, unknown>> };

/** As much of the global object as is needed here; Node's types do not have it. */
const { WebAssembly } = globalThis as unknown as { WebAssembly: { Instance: Instantiate } };

let loaded: CedarLibrary | undefined;

/**
 * Loads Cedar, which the user installs.
 *
 * @throws SpiffeError `ERR_SPIFFE_POLICY_INVALID` where it is not installed.
 */
export function loadCedar(): CedarLibrary {
  try {
    loaded ??= instantiate();
    return loaded;
  } catch (cause) {
    throw new SpiffeError(
      'ERR_SPIFFE_POLICY_INVALID',
      'cannot load Cedar for the policies: install @cedar-policy/cedar-wasm beside this package',
      { cause },
    );
  }
}

/**
 * An instance of Cedar for this package alone, whose functions are called through proxies. V8 of Node 20 and 22 aborts the
 * process when it drops optimised code into which a call of WebAssembly that returns a reference was inlined, while
 * that call runs; a call through a proxy is never inlined. Those calls are in functions of Cedar's own, which V8
 * optimises like any other: a proxy around these would not do. So its instance is handed to it with proxies in place.
 */
function instantiate(): CedarLibrary {
  const require = createRequire(import.meta.url);
  const path = require.resolve('@cedar-policy/cedar-wasm/nodejs');
  const others = require.cache[path];
  const { Instance } = WebAssembly;
  delete require.cache[path];
  // Until it is put back below nothing runs but Cedar's own module.
  WebAssembly.Instance = function (this: unknown, module: unknown, imports: unknown) {
    return { exports: neverInlined(new Instance(module, imports).exports) };
  } as unknown as Instantiate;
  try {
    return require(path) as CedarLibrary;
  } finally {
    WebAssembly.Instance = Instance;
    if (others === undefined) delete require.cache[path];
    else require.cache[path] = others;
  }
}

function neverInlined(exports: Readonly<Record<string, unknown>>): object {
  return Object.fromEntries(
    Object.entries(exports).map(([name, value]) => [
      name,
      typeof value === 'function' ? new Proxy(value, {}) : value,
    ]),
  );
}
