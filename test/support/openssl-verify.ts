import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writePem } from '#lib/internal/pem.js';

const pem = (certificates: readonly Uint8Array[]): string =>
  certificates.map((der) => writePem(der, 'CERTIFICATE')).join('');

/**
 * What `openssl verify` makes of a chain: refused, and why, or not. `undefined` where there is no OpenSSL to ask. Each
 * authority counts as an anchor, self-signed or not; nothing of the machine's own store is looked at.
 */
export function opensslVerdict(
  chain: readonly Uint8Array[],
  anchors: readonly Uint8Array[],
  now: Date,
): { readonly refused: string | undefined } | undefined {
  const dir = mkdtempSync(join(tmpdir(), 'chain-'));
  try {
    const file = (name: string, certificates: readonly Uint8Array[]): string => {
      writeFileSync(join(dir, name), pem(certificates));
      return join(dir, name);
    };
    const at = String(Math.floor(now.getTime() / 1000));
    const trust = ['-no-CApath', '-no-CAstore', '-CAfile', file('anchors.pem', anchors)];
    const others = chain.length > 1 ? ['-untrusted', file('others.pem', chain.slice(1))] : [];
    const { error, status, stderr } = spawnSync(
      'openssl',
      [
        'verify',
        '-partial_chain',
        '-attime',
        at,
        ...trust,
        ...others,
        file('leaf.pem', chain.slice(0, 1)),
      ],
      { encoding: 'utf8' },
    );
    if (error !== undefined && 'code' in error && error.code === 'ENOENT') return undefined;
    return { refused: status === 0 ? undefined : stderr };
  } finally {
    rmSync(dir, { recursive: true });
  }
}
