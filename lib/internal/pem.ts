/** Text that is not the PEM that was promised. */
export class PemError extends Error {
  override readonly name = 'PemError';
}

const BLOCK =
  /-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n([A-Za-z0-9+/= \t\v\f\r\n]+?)-----END ([A-Z0-9 ]+)-----/g;
const BOUNDARY = /-----(?:BEGIN|END) /g;

/**
 * The contents of the blocks of a PEM text (RFC 7468), which must be at least one and all of kind `label`. Text
 * between blocks is passed over, and so is white space inside (§2); a header inside a block (an encrypted key's, say) is refused.
 *
 * @throws PemError
 */
export function readPem(text: string, label: string): Uint8Array[] {
  const blocks = [...text.matchAll(BLOCK)];
  if (blocks.length === 0) throw new PemError(`no ${label} block`);
  if (blocks.length * 2 !== [...text.matchAll(BOUNDARY)].length)
    throw new PemError('a broken block');
  return blocks.map(([, begin, body = '', end]) => {
    if (begin !== label || end !== label)
      throw new PemError(`a ${begin} block where ${label} belongs`);
    const base64 = body.replaceAll(/[ \t\v\f\r\n]/g, '');
    const bytes = Buffer.from(base64, 'base64');
    // Node skips what is not base64: only the form that comes back the same was it.
    if (bytes.toString('base64') !== base64) throw new PemError('a block that is not base64');
    return bytes;
  });
}

/** One PEM block, lines of 64 characters. */
export function writePem(bytes: Uint8Array, label: string): string {
  const base64 = Buffer.from(bytes)
    .toString('base64')
    .replaceAll(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN ${label}-----\n${base64}\n-----END ${label}-----\n`;
}
