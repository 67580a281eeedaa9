const LONGEST = 200;

/**
 * A value from outside as it may stand in a message: quoted, cut at 200 characters, and with whatever does not show
 * or would move the text about it (controls, line separators, bidirectional marks) escaped.
 */
export function quote(value: unknown): string {
  if (typeof value !== 'string') return value === null ? 'null' : `a value of type ${typeof value}`;
  const text = value.length > LONGEST ? `${value.slice(0, LONGEST)}…` : value;
  return JSON.stringify(text).replaceAll(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (sign) => `\\u{${(sign.codePointAt(0) as number).toString(16)}}`,
  );
}
