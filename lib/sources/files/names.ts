import { resolve } from 'node:path';
import { SpiffeError } from '../../errors.js';
import { quote } from '../../internal/quote.js';

/** What the files of an X.509-SVID are called in their directory. Plain names, without a path. */
export interface SvidFileNames {
  /** The SVID and its intermediates, PEM, the leaf first. Default: `svid.pem`. */
  readonly svid: string;
  /** Its private key, PKCS#8 PEM. Default: `svid_key.pem`. */
  readonly key: string;
  /** The authorities of our own trust domain, PEM. Default: `svid_bundle.pem`. */
  readonly bundle: string;
  /**
   * A directory with the authorities of federated trust domains, a file for each: `partner.example.pem`. It need not
   * exist. Default: `bundles`.
   */
  readonly federated: string;
}

export const DEFAULT_NAMES: SvidFileNames = Object.freeze({
  svid: 'svid.pem',
  key: 'svid_key.pem',
  bundle: 'svid_bundle.pem',
  federated: 'bundles',
});

/** What stands behind a trust domain in the name of its file. */
export const BUNDLE_SUFFIX = '.pem';

/** @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` */
export function resolveNames(given: Partial<SvidFileNames> = {}): SvidFileNames {
  const names = { ...DEFAULT_NAMES };
  for (const [what, name] of Object.entries(given)) {
    if (!Object.hasOwn(DEFAULT_NAMES, what))
      throw invalid(`there is no name ${quote(what)}; there are ${Object.keys(names).join(', ')}`);
    if (name === undefined) continue;
    // A leading dot is kept for what stands behind the files: `..data` and its like.
    if (typeof name !== 'string' || !/^[^./\\\0][^/\\\0]{0,199}$/.test(name))
      throw invalid(`${quote(name)} is no plain name for ${what}: give one without a path`);
    Object.assign(names, { [what]: name });
  }
  if (new Set(Object.values(names)).size !== Object.keys(names).length)
    throw invalid('two of the names are the same');
  return Object.freeze(names);
}

/**
 * An absolute path: the process may go elsewhere later.
 *
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID`
 */
export function checkDirectory(directory: string): string {
  if (typeof directory === 'string' && directory !== '' && !directory.includes('\0'))
    return resolve(directory);
  throw invalid(`${quote(directory)} is no path of a directory`);
}

function invalid(why: string): SpiffeError {
  return new SpiffeError('ERR_SPIFFE_OPTION_INVALID', `cannot use files of SVIDs: ${why}`);
}
