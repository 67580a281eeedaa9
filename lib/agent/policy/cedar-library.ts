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

/**
 * Loads Cedar, which the user installs.
 *
 * @throws SpiffeError `ERR_SPIFFE_POLICY_INVALID` where it is not installed.
 */
export async function loadCedar(): Promise<CedarLibrary> {
  try {
    return guarded(await import('@cedar-policy/cedar-wasm/nodejs'));
  } catch (cause) {
    throw new SpiffeError(
      'ERR_SPIFFE_POLICY_INVALID',
      'cannot load Cedar for the policies: install @cedar-policy/cedar-wasm beside this package',
      { cause },
    );
  }
}

/**
 * V8 of Node 20 and 22 aborts the process when it drops optimised code into which a call of WebAssembly that returns a
 * reference was inlined. A call through a proxy is never inlined.
 */
function guarded(cedar: CedarLibrary): CedarLibrary {
  return {
    policySetTextToParts: new Proxy(cedar.policySetTextToParts, {}),
    policyToJson: new Proxy(cedar.policyToJson, {}),
    preparsePolicySet: new Proxy(cedar.preparsePolicySet, {}),
    statefulIsAuthorized: new Proxy(cedar.statefulIsAuthorized, {}),
    validate: new Proxy(cedar.validate, {}),
  };
}
