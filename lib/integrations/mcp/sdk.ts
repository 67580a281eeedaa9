import { SpiffeError } from '../../errors.js';

/**
 * Loads a package of the MCP SDK, which the user installs.
 *
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` where it is not installed.
 */
export async function loadSdk<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    throw new SpiffeError(
      'ERR_SPIFFE_OPTION_INVALID',
      `cannot speak MCP: install ${name}@2 beside this package`,
      { cause },
    );
  }
}
