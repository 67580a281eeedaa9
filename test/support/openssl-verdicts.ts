import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Whether there is an OpenSSL to judge by; LibreSSL prints other texts. */
export function opensslAvailable(): boolean {
  const { stdout } = spawnSync('openssl', ['version'], { encoding: 'utf8' });
  return /^OpenSSL [1-9]/.test(stdout ?? '');
}

export interface Verdict {
  readonly ok: boolean;
  /** What it printed, on both outputs. */
  readonly text: string;
}

export function openssl(args: readonly string[], input?: Uint8Array): Verdict {
  const { status, stdout, stderr } = spawnSync('openssl', args, { input, encoding: 'utf8' });
  return { ok: status === 0, text: stdout + stderr };
}

/** What OpenSSL reads in a certificate. */
export function readCertificate(der: Uint8Array): string {
  const { ok, text } = openssl(['x509', '-inform', 'DER', '-noout', '-text'], der);
  if (!ok) throw new Error(`openssl cannot read the certificate: ${text}`);
  return text;
}

/** One extension as OpenSSL prints it: its name and `critical`, then its value, each line trimmed. */
export function readExtension(der: Uint8Array, name: string): readonly string[] {
  const { text } = openssl(['x509', '-inform', 'DER', '-noout', '-ext', name], der);
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

export function verifyChain(
  leaf: Uint8Array,
  anchors: readonly Uint8Array[],
  intermediates: readonly Uint8Array[] = [],
): Verdict {
  const directory = mkdtempSync(join(tmpdir(), 'openssl-'));
  const file = (name: string, certificates: readonly Uint8Array[]): string => {
    const path = join(directory, name);
    writeFileSync(path, certificates.map(pem).join(''));
    return path;
  };
  try {
    const untrusted =
      intermediates.length === 0 ? [] : ['-untrusted', file('untrusted', intermediates)];
    return openssl([
      'verify',
      '-x509_strict',
      '-no-CApath',
      '-no-CAstore',
      '-CAfile',
      file('anchors', anchors),
      ...untrusted,
      file('leaf', [leaf]),
    ]);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function pem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}

/** Cuts concatenated DER certificates apart; every certificate is longer than 255 and shorter than 65,536 octets. */
export function splitCertificates(der: Uint8Array): readonly Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let rest = Buffer.from(der); rest.length > 0; ) {
    const length = rest.readUInt16BE(2) + 4;
    parts.push(rest.subarray(0, length));
    rest = rest.subarray(length);
  }
  return parts;
}
