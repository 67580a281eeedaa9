import type { Random } from './random.js';
import { mutateText } from './text.js';

const VALUES = [
  null,
  true,
  false,
  0,
  1,
  -1,
  0.5,
  1e30,
  '',
  'JWT',
  'spiffe://example.org/x',
  [],
  {},
  [''],
  [0],
  ['reports', 1],
  { a: 1 },
];
/** Numbers that JSON.stringify would not write so. */
const NUMBERS = [
  '1e400',
  '-0',
  '1.0',
  '1E3',
  '01',
  '+1',
  '.5',
  '1e-7',
  '9007199254740993',
  '18446744073709551616',
];
const PARTS = [
  '{',
  '}',
  '[',
  ']',
  '"',
  ',',
  ':',
  '\\',
  '\\u0000',
  '\\ud800',
  '\\u006b',
  ' ',
  '\n',
  'null',
  '//',
  '\ufeff',
  '0',
  '-',
  'é',
];

type Json = unknown;

/** One change to a value of JSON: a member lost, renamed, moved, or of another type. */
export function mutateJson(random: Random, value: Json, names: readonly string[]): Json {
  if (Array.isArray(value)) return mutateArray(random, value as readonly Json[], names);
  if (typeof value === 'object' && value !== null) {
    return mutateObject(random, value as Readonly<Record<string, Json>>, names);
  }
  if (typeof value === 'string' && !random.oneIn(3)) return mutateText(random, value, PARTS);
  if (typeof value === 'number' && !random.oneIn(3))
    return random.pick([
      -value,
      value + 1,
      value / 1000,
      value * 1000,
      value + 0.25,
      String(value),
    ]);
  return random.pick(VALUES);
}

function mutateArray(random: Random, list: readonly Json[], names: readonly string[]): Json {
  const at = random.int(list.length + 1);
  if (at === list.length || random.oneIn(4)) {
    return random.pick([
      list.toSpliced(at, 1),
      [...list, random.pick(VALUES)],
      [...list, ...list],
      list[0] ?? null,
      random.shuffle(list),
    ]);
  }
  return list.with(at, mutateJson(random, list[at], names));
}

function mutateObject(
  random: Random,
  object: Readonly<Record<string, Json>>,
  names: readonly string[],
): Json {
  const entries = Object.entries(object);
  const at = random.int(entries.length);
  const entry = entries[at];
  if (entry === undefined || random.oneIn(6)) {
    return { ...object, [random.pick(names)]: random.pick(VALUES) };
  }
  const [name, value] = entry;
  const renamed = random.oneIn(2) ? random.pick(names) : mutateText(random, name, names);
  const changed = random.oneIn(6)
    ? [[renamed, value] as const]
    : random.oneIn(6)
      ? []
      : [[name, mutateJson(random, value, names)] as const];
  return Object.fromEntries([...entries.slice(0, at), ...changed, ...entries.slice(at + 1)]);
}

/** One change to the text of a document of JSON; the result may be none. */
export function mutateJsonText(random: Random, text: string): string {
  switch (random.int(5)) {
    case 0:
      return text.replace(/-?\d+(?:\.\d+)?/, () => random.pick(NUMBERS));
    case 1: {
      // A member twice, the same or another value the second time.
      const member = /"[^"]+":(?:"[^"]*"|\d+|\[[^\]]*\])/.exec(
        text.slice(random.int(text.length)),
      )?.[0];
      return member === undefined ? text : text.replace(/\}$/, `,${member}}`);
    }
    case 2:
      return text.replace(/"(\w)(\w*)":/, (_, first: string, rest: string) => {
        return `"\\u${first.charCodeAt(0).toString(16).padStart(4, '0')}${rest}":`;
      });
    default:
      return mutateText(random, text, PARTS);
  }
}
