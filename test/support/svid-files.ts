import {
  mkdirSync,
  mkdtempSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { threadId } from 'node:worker_threads';
import { verifyX509Svid, type X509Bundle, X509Bundles, type X509Svid } from 'agent-spiffe';
import type { Clock, TestCa } from 'agent-spiffe/testing';
import { writePem } from '#lib/internal/pem.js';

/** What the files of one SVID hold. */
export interface Pems {
  readonly svid: string;
  readonly key: string;
  readonly bundle: string;
  /** By trust domain. */
  readonly federated: Readonly<Record<string, string>>;
}

export function certificatePems(ders: readonly Uint8Array[]): string {
  return ders.map((der) => writePem(der, 'CERTIFICATE')).join('');
}

export function keyPem(svid: X509Svid): string {
  return svid.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
}

export function pemsOf(svid: X509Svid, ca: TestCa, federated: readonly TestCa[] = []): Pems {
  return {
    svid: certificatePems(svid.certificates),
    key: keyPem(svid),
    bundle: certificatePems(ca.bundle.authorities),
    federated: Object.fromEntries(
      federated.map(({ trustDomain, bundle }) => [
        trustDomain.name,
        certificatePems(bundle.authorities),
      ]),
    ),
  };
}

/** A directory that is gone with its scope. */
export class ScratchDirectory implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), 'files-'));

  file(...names: readonly string[]): string {
    return join(this.path, ...names);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** Writes each file in its place, one after the other, as spiffe-helper does. */
export function writeInPlace(directory: string, pems: Pems): void {
  writeFileSync(join(directory, 'svid.pem'), pems.svid);
  writeFileSync(join(directory, 'svid_key.pem'), pems.key, { mode: 0o600 });
  writeFileSync(join(directory, 'svid_bundle.pem'), pems.bundle);
  for (const [domain, pem] of Object.entries(pems.federated)) {
    mkdirSync(join(directory, 'bundles'), { recursive: true });
    writeFileSync(join(directory, 'bundles', `${domain}.pem`), pem);
  }
}

const BEGAN = Date.now();
let generations = 0;

/** Replaces all files by a swap of `..data`, and removes the old ones at once, as Kubernetes does. */
export function swapGeneration(directory: string, pems: Pems): void {
  generations += 1;
  // Each thread counts for itself.
  const fresh = `..2026_${threadId}_${generations}`;
  mkdirSync(join(directory, fresh));
  writeInPlace(join(directory, fresh), pems);
  const link = join(directory, '..data');
  const before = linkTarget(link);
  symlinkSync(fresh, join(directory, '..data_tmp'));
  renameSync(join(directory, '..data_tmp'), link);
  if (before !== undefined) {
    rmSync(join(directory, before), { recursive: true });
    return;
  }
  for (const name of ['svid.pem', 'svid_key.pem', 'svid_bundle.pem', 'bundles'])
    symlinkSync(join('..data', name), join(directory, name));
}

function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** Throws unless the SVID chains to this bundle: no two generations of these tests share an authority. */
export function expectOneGeneration(certificates: readonly Uint8Array[], bundle: X509Bundle): void {
  verifyX509Svid(certificates, X509Bundles.of(bundle));
}

/** A clock on which everything happens ten times as soon. */
export const QUICK_CLOCK: Clock = {
  now: () => BEGAN + (Date.now() - BEGAN) * 10,
  setTimeout: (callback, ms) => setTimeout(callback, ms / 10),
  clearTimeout: (timer) => clearTimeout(timer),
};
