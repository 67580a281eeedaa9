import { createPublicKey, type KeyObject } from 'node:crypto';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import type { Authority } from 'agent-spiffe/testing';
import { writePem } from '#lib/internal/pem.js';
import { leafFields } from '#lib/testing/authority.js';
import { writeCertificate } from '#lib/testing/certificate.js';
import { makeKey } from '#lib/testing/keys.js';
import type { Change } from './chain.js';

/** A certificate that a test makes as it likes, with its key. */
export interface Crafted {
  readonly der: Uint8Array;
  readonly key: KeyObject;
}

/** A good leaf of this authority, but for what `change` makes of it. */
export function craftLeaf(
  issuer: Authority,
  id: string,
  change: Change = (fields) => fields,
): Crafted {
  const key = makeKey('ec-p256');
  const publicKey = createPublicKey(key);
  const fields = leafFields(issuer, { id, publicKey, now: new Date(), ttlMs: 3600_000 });
  return { der: writeCertificate(change(fields)), key };
}

/** Connects with this certificate, with no code of ours on the client's side, and asks `GET /`. */
export async function present(
  port: number,
  { der, key }: Crafted,
  options: ConnectionOptions = {},
): Promise<{ readonly answer: string; readonly session: Buffer | undefined }> {
  const socket: TLSSocket = connect({
    port,
    host: '127.0.0.1',
    cert: writePem(der, 'CERTIFICATE'),
    key: key.export({ type: 'pkcs8', format: 'pem' }),
    rejectUnauthorized: false,
    ...options,
  });
  let session: Buffer | undefined;
  let answer = '';
  socket.on('session', (given: Buffer) => {
    session = given;
  });
  socket.on('data', (bytes: Buffer) => {
    answer += bytes.toString();
  });
  // A refusal is an alert or a reset; either way there is no answer.
  socket.on('error', () => {});
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  await new Promise<void>((resolve) => {
    socket.once('close', () => resolve());
  });
  return { answer, session };
}
