import { SpiffeId } from 'agent-spiffe';
import { type Case, said } from './case.js';
import type { Random } from './random.js';
import { mutateText } from './text.js';

const GOOD = [
  'spiffe://example.org/workload',
  'spiffe://example.org',
  'spiffe://a/b/c/d',
  'spiffe://127.0.0.1/x',
  'spiffe://_x.-a..b./Q.q_-0',
  'spiffe://example.org/ns/prod/sa/web-1',
  `spiffe://${'a'.repeat(255)}/x`,
  `spiffe://example.org/${'p'.repeat(2027)}`,
];

const DELIMITERS = "/ // /. /.. /./ /../ . .. ... - _ ~ ! $ & ' ( * + , ; =".split(' ');
const URL_PARTS =
  '% %2e %2F %00 # ? #a ?a=b @ user@ : :80 :443 [ ] [::1] \\ | " spiffe: spiffe:// SPIFFE http'.split(
    ' ',
  );
const LETTERS = 'A Z EXAMPLE ſ ı é'.split(' ');
const BLANKS = ['\u0000', '\n', '\r', '\t', ' ', '\u00a0', '\ufeff', '\u2028'];

/** What is odd in an ID, or beside it. */
export const ID_PARTS: readonly string[] = [
  ...DELIMITERS,
  ...URL_PARTS,
  ...LETTERS,
  ...BLANKS,
  'a'.repeat(256),
  '/b'.repeat(1020),
];

/** A text that is a SPIFFE ID, or nearly. */
export function idText(random: Random): { readonly text: string; readonly made: string } {
  let text = random.pick(GOOD);
  const changes = random.pick([0, 1, 1, 1, 2, 3]);
  for (let i = 0; i < changes; i++) text = mutateText(random, text, ID_PARTS);
  return { text, made: `an ID with ${changes} changes` };
}

export function idCase(random: Random): Case {
  const { text, made } = idText(random);
  return {
    kind: 'id',
    made: [made],
    question: { kind: 'id', text },
    ours: () => said(() => ({ id: SpiffeId.parse(text).toString() })),
  };
}
