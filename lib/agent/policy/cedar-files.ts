import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SpiffeError } from '../../errors.js';
import { canonicalJson } from '../../internal/canonical-json.js';
import { nodeCrypto } from '../../internal/crypto.js';
import { quote } from '../../internal/quote.js';

/** Texts of policies by the name of their file. */
export type PolicyTexts = Readonly<Record<string, string>>;

/**
 * Reads the `*.cedar` files that lie directly in a directory, until two readings agree: whoever replaces files one by
 * one is not caught in the middle.
 *
 * @throws SpiffeError `ERR_SPIFFE_POLICY_INVALID` when they cannot be read, or there are none.
 */
export async function readPolicies(directory: string): Promise<PolicyTexts> {
  let before: string | undefined;
  for (let attempt = 0; attempt < 10; attempt++) {
    const texts = await readOnce(directory);
    const revision = revisionOf(texts);
    if (revision === before) return texts;
    before = revision;
  }
  throw new SpiffeError(
    'ERR_SPIFFE_POLICY_INVALID',
    `cannot read the policies in ${quote(directory)}: they change at each reading`,
  );
}

async function readOnce(directory: string): Promise<PolicyTexts> {
  try {
    const names = (await readdir(directory)).filter((name) => name.endsWith('.cedar')).toSorted();
    const texts: [string, string][] = [];
    for (const name of names) texts.push([name, await readFile(join(directory, name), 'utf8')]);
    return Object.fromEntries(texts);
  } catch (cause) {
    throw new SpiffeError(
      'ERR_SPIFFE_POLICY_INVALID',
      `cannot read the policies in ${quote(directory)}: ${(cause as Error).message}`,
      { cause },
    );
  }
}

/** The digest of a set of policies. */
export function revisionOf(texts: PolicyTexts): string {
  return `sha256:${nodeCrypto().createHash('sha256').update(canonicalJson(texts)).digest('hex')}`;
}
