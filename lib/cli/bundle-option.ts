import { readFile } from 'node:fs/promises';
import { InvalidArgumentError } from 'commander';
import { SpiffeError } from '../errors.js';
import { X509Bundle } from '../identity/x509/bundle.js';
import { quote } from '../internal/quote.js';

/** The authorities of a trust domain, and where they are. */
export interface BundleFile {
  readonly trustDomain: string;
  readonly path: string;
}

/** Parses one `--bundle`, which may be given several times. */
export function addBundle(text: string, before: readonly BundleFile[] = []): readonly BundleFile[] {
  // A trust domain's name holds no equals sign, a path may.
  const at = text.indexOf('=');
  if (at < 1)
    throw new InvalidArgumentError(
      'Give a trust domain and a file, such as example.org=bundle.pem.',
    );
  return [...before, { trustDomain: text.slice(0, at), path: text.slice(at + 1) }];
}

/** The bundles of these files. */
export async function readBundles(files: readonly BundleFile[]): Promise<readonly X509Bundle[]> {
  return await Promise.all(
    files.map(async ({ trustDomain, path }) =>
      X509Bundle.fromPem(trustDomain, await read('bundle', path)),
    ),
  );
}

/** A file that an option names. @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` */
export async function read(option: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new SpiffeError(
      'ERR_SPIFFE_OPTION_INVALID',
      `cannot read ${quote(path)}, given as --${option}: ${(cause as Error).message}`,
      { cause },
    );
  }
}
