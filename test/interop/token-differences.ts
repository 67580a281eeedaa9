import { isJsonObject, type JsonObject } from '#lib/internal/json.js';
import type { Case, Said } from '../support/mutation/case.js';
import { type Difference, type GoSaid, goSays } from './differences.js';

const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];
const LAST_INSTANT = 8.64e12;

function part(one: Case, at: number): JsonObject {
  const text = String(one.question['text']).split('.')[at] ?? '';
  return parsed(Buffer.from(text, 'base64url').toString());
}

function parsed(text: string): JsonObject {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : {};
  } catch {
    return {};
  }
}

const header = (one: Case): JsonObject => part(one, 0);
const claims = (one: Case): JsonObject => part(one, 1);

/** A document of keys, of one domain in a question about a token. */
function document({ question }: Case): JsonObject {
  const [bundle] = Object.values(
    (question['bundles'] ?? { only: question['data'] }) as Record<string, string>,
  );
  return parsed(Buffer.from(bundle ?? '', 'base64').toString());
}

function entries(one: Case): readonly JsonObject[] {
  const { keys } = document(one);
  return Array.isArray(keys) ? keys.filter(isJsonObject) : [];
}

const NUMBERS = ['x', 'y', 'n', 'e'];

const canonical = (value: unknown): boolean =>
  typeof value === 'string' &&
  value !== '' &&
  Buffer.from(value, 'base64url').toString('base64url') === value;

/** Keys that are for another use, hold what no public key has, or are written otherwise: they are none of ours. */
const setAside = (entry: JsonObject): boolean =>
  NUMBERS.some((name) => Object.hasOwn(entry, name) && !canonical(entry[name])) ||
  !['sig', 'jwt-svid', undefined].includes(entry['use'] as string | undefined) ||
  PRIVATE.some((name) => Object.hasOwn(entry, name));

const known = ({ kid }: JsonObject): unknown => kid;

/** The keys that only one of the two has taken. */
function odd(
  ours: Said,
  go: GoSaid,
): { readonly ours: readonly string[]; readonly go: readonly string[] } {
  const [mine, theirs] = [ours.items ?? [], go.items ?? []];
  return {
    ours: mine.filter((kid) => !theirs.includes(kid)),
    go: theirs.filter((kid) => !mine.includes(kid)),
  };
}

/** Where we are stricter than go-spiffe about tokens and their keys, then where it is stricter than we are. */
export const TOKEN_DIFFERENCES: readonly Difference[] = [
  {
    rule: 'A-05',
    why: 'a token whose subject has no path',
    kinds: ['jwt'],
    stricter: 'we',
    applies: (one) => /^spiffe:\/\/[^/]+$/.test(String(claims(one)['sub'])),
  },
  {
    rule: 'JWT-01',
    why: 'base64url that is not canonical, or has line ends in it',
    kinds: ['jwt'],
    stricter: 'we',
    applies: ({ question }) =>
      String(question['text'])
        .split('.')
        .some((text) => Buffer.from(text, 'base64url').toString('base64url') !== text),
  },
  {
    rule: 'JWT-03, A-32',
    why: 'a header crit, whatever it lists',
    kinds: ['jwt'],
    stricter: 'we',
    applies: (one) => Object.hasOwn(header(one), 'crit'),
  },
  {
    rule: 'JWT-08, JWT-15, JWT-16',
    why: 'null where text or a number belongs: to Go it is as good as absent',
    kinds: ['jwt'],
    stricter: 'we',
    applies: (one) => [...Object.values(header(one)), ...Object.values(claims(one))].includes(null),
  },
  {
    rule: 'JWT-15',
    why: 'a time that no date can hold',
    kinds: ['jwt'],
    stricter: 'we',
    applies: (one) =>
      ['exp', 'nbf'].some((name) => Math.abs(Number(claims(one)[name] ?? 0)) > LAST_INSTANT),
  },
  {
    rule: 'JWT-25, A-11, A-32',
    why: 'a token of a key that is for another use or is private',
    kinds: ['jwt'],
    stricter: 'we',
    applies: (one) =>
      entries(one).some((entry) => known(entry) === header(one)['kid'] && setAside(entry)),
  },
  {
    rule: 'BDL-10',
    why: 'a document without an array of keys, which go-spiffe takes for an empty one',
    kinds: ['jwt', 'jwks'],
    stricter: 'we',
    applies: (one) => !Array.isArray(document(one)['keys']),
  },
  {
    rule: 'BDL-10',
    why: 'the same, and Keys or KEYS, which go-spiffe reads as keys',
    kinds: ['jwks'],
    stricter: 'neither',
    applies: (one) =>
      !Array.isArray(document(one)['keys']) ||
      Object.keys(document(one)).some((name) => name !== 'keys' && /^keys$/i.test(name)),
  },
  {
    rule: 'BDL-05',
    why: 'a document with Keys beside keys, which go-spiffe lets count in its place',
    kinds: ['jwt'],
    stricter: 'go',
    applies: (one) =>
      Object.keys(document(one)).some((name) => name !== 'keys' && /^keys$/i.test(name)),
  },
  {
    rule: 'A-04',
    why: 'a header b64, which means nothing unless crit lists it',
    kinds: ['jwt'],
    stricter: 'go',
    applies: (one) => Object.hasOwn(header(one), 'b64') && !Object.hasOwn(header(one), 'crit'),
  },
  {
    rule: 'A-03, JWT-07',
    why: 'a token without kid',
    kinds: ['jwt'],
    stricter: 'go',
    applies: goSays(/missing key id/),
  },
  {
    rule: 'JWT-07',
    why: 'two keys of one kid: each may have signed; to go-spiffe the last one alone',
    kinds: ['jwt'],
    stricter: 'go',
    applies: (one) => {
      const kids = entries(one).map(known);
      return kids.indexOf(header(one)['kid']) !== kids.lastIndexOf(header(one)['kid']);
    },
  },
  {
    rule: 'A-32',
    why: 'a token issued in the future: iat is no bound',
    kinds: ['jwt'],
    stricter: 'go',
    applies: goSays(/issued in the future/),
  },
  {
    rule: 'JWT-18, JWT-19, JWT-20',
    why: 'iat, iss or jti of another type: they play no part',
    kinds: ['jwt'],
    stricter: 'go',
    applies: goSays(
      /expected number value to unmarshal NumericDate|claims from token: json: cannot unmarshal \w+ into Go value of type string/,
    ),
  },
  {
    rule: 'JWT-01',
    why: 'a member twice: of two, RFC 7515 4 and RFC 7519 4 let the last one count',
    kinds: ['jwt'],
    stricter: 'go',
    applies: (one, ours, go) => goSays(/duplicate key/)(one, ours, go) || hasTwice(one, 0),
  },
  {
    rule: 'A-04',
    why: 'surplus headers that are malformed: they play no part',
    kinds: ['jwt'],
    stricter: 'go',
    applies: (one, ours, go) =>
      goSays(/unable to parse JWT token/)(one, ours, go) &&
      Object.keys(header(one)).some((name) => !['alg', 'kid', 'typ'].includes(name)),
  },
  {
    rule: 'A-19',
    why: 'a key set of which one entry is no good, which costs none of the others',
    kinds: ['jwt'],
    stricter: 'go',
    applies: goSays(/parse JWKS|error adding authority/),
  },
  {
    rule: 'JWT-05, JWT-25, A-11, A-19, A-32',
    why: 'keys that go-spiffe keeps: private, symmetric, Ed25519, RSA below 2048 bits or with an odd exponent, for another use, or not in canonical base64url',
    kinds: ['jwks'],
    stricter: 'neither',
    applies: (one, ours, go) => {
      const { ours: extra, go: kept } = odd(ours, go);
      return (
        extra.length === 0 &&
        kept.every(
          (kid) =>
            !/^(?:P-\d+|RSA-(?:20(?:4[89]|[5-9]\d)|2[1-9]\d\d|[3-9]\d{3}))$/.test(
              go.keys?.[kid] ?? '',
            ) || entries(one).some((entry) => known(entry) === kid && setAside(entry)),
        )
      );
    },
  },
  {
    rule: 'A-19',
    why: 'keys whose members for other purposes are malformed: only those that make the key count',
    kinds: ['jwks'],
    stricter: 'neither',
    applies: (_one, ours, go) => {
      const { ours: extra, go: kept } = odd(ours, go);
      return extra.length > 0 && kept.length === 0 && !go.accept;
    },
  },
];

function hasTwice(one: Case, at: number): boolean {
  const text = String(one.question['text']).split('.')[at] ?? '';
  const source = Buffer.from(text, 'base64url').toString();
  return [...source.matchAll(/":/g)].length > Object.keys(parsed(source)).length;
}
