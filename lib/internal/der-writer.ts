import { context, INTEGER, OID, SEQUENCE } from './der.js';

// Writes what `der.ts` reads: DER, with definite lengths in their shortest form (X.690 §10.1).

export const SET = 0x31;

/** One element: its identifier octet, and its content in pieces, each an element already written or raw octets. */
export function element(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const length = content.reduce((sum, piece) => sum + piece.length, 0);
  return Buffer.concat([header(tag, length), ...content]);
}

export function sequence(...content: readonly Uint8Array[]): Uint8Array {
  return element(SEQUENCE, ...content);
}

/** A small INTEGER that is not negative: below 128. */
export function smallInteger(value: number): Uint8Array {
  return element(INTEGER, Buffer.of(value));
}

/** A BIT STRING of whole octets. */
export function octetBits(octets: Uint8Array): Uint8Array {
  return element(0x03, Buffer.of(0), octets);
}

/** An OBJECT IDENTIFIER from its dotted form. */
export function objectIdentifier(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  return element(OID, Buffer.from([first * 40 + second, ...rest].flatMap(base128)));
}

/** `[n]` around content that is constructed, or in place of a primitive's own tag. */
export function tagged(n: number, constructed: boolean, ...content: Uint8Array[]): Uint8Array {
  return element(context(n, constructed), ...content);
}

function header(tag: number, length: number): Uint8Array {
  if (length < 0x80) return Buffer.of(tag, length);
  const octets: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256);
  return Buffer.of(tag, 0x80 | octets.length, ...octets);
}

/** X.690 §8.19.2: seven bits an octet, the highest set in all but the last. */
function base128(value: number): number[] {
  const octets = [value % 128];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128))
    octets.unshift((rest % 128) | 0x80);
  return octets;
}
