import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** A TLS server of another make. */
export interface OpensslServer {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Starts `openssl s_server`, which lets no client in that does not chain to `trusted`, and sends an alert when one
 * tries. `undefined` where there is no OpenSSL.
 */
export async function opensslServer(options: {
  readonly key: string;
  readonly cert: string;
  readonly trusted: string;
  readonly version: 'TLSv1.2' | 'TLSv1.3';
}): Promise<OpensslServer | undefined> {
  const dir = mkdtempSync(join(tmpdir(), 's-'));
  const file = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text);
    return join(dir, name);
  };
  const child = spawn(
    'openssl',
    [
      ['s_server', '-accept', '127.0.0.1:0', '-www'],
      ['-cert', file('cert.pem', options.cert), '-key', file('key.pem', options.key)],
      ['-Verify', '1', '-verify_return_error', '-CAfile', file('ca.pem', options.trusted)],
      [options.version === 'TLSv1.2' ? '-tls1_2' : '-tls1_3'],
    ].flat(),
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const ended = new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    child.once('close', () => resolve());
  });
  const close = async (): Promise<void> => {
    child.kill();
    await ended;
    rmSync(dir, { recursive: true });
  };
  for await (const line of createInterface(child.stdout)) {
    const port = /^ACCEPT 127\.0\.0\.1:(\d+)$/.exec(line)?.[1];
    if (port !== undefined) return { port: Number(port), close };
  }
  await close();
  return undefined;
}
