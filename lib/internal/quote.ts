const LONGEST = 200;

/** A value from outside as it may stand in a message: quoted, control characters escaped, cut at 200 characters. */
export function quote(value: unknown): string {
  if (typeof value !== 'string') return value === null ? 'null' : `a value of type ${typeof value}`;
  const text = value.length > LONGEST ? `${value.slice(0, LONGEST)}…` : value;
  return JSON.stringify(text);
}
