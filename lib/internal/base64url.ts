/**
 * Decodes base64url without padding, in its canonical form alone (RFC 4648 §5, RFC 7515 §2). Node's own decoder skips
 * junk, takes the other alphabet and drops surplus bits: only text that comes back the same was base64url.
 *
 * @returns `undefined` for anything else.
 */
export function decodeBase64url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url');
  return bytes.toString('base64url') === text ? bytes : undefined;
}
