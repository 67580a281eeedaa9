import type { Case, Kind, Said } from '../support/mutation/case.js';

/** What Go's parser sees in one certificate: of the chain, the leaf first, then of the bundle. */
export interface Facts {
  readonly error?: string;
  readonly keyUsage: number;
  readonly key: string;
  readonly signature: string;
  readonly uris: readonly string[] | null;
  /** By object identifier, whether critical. */
  readonly extensions: Readonly<Record<string, boolean>> | null;
}

/** go-spiffe's verdict. */
export interface GoSaid extends Said {
  /** Of which kind each key of a JWK set is. */
  readonly keys?: Readonly<Record<string, string>>;
  readonly facts?: readonly Facts[];
}

/** One way in which the two differ on purpose. */
export interface Difference {
  /** The requirements it rests on. */
  readonly rule: string;
  readonly why: string;
  readonly kinds: readonly Kind[];
  /** Who refuses what the other accepts; neither where both accept and something else comes out. */
  readonly stricter: 'we' | 'go' | 'neither';
  /** Whether this is what makes the difference. Ours alone never says so: Go's reason, what Go sees, or the input does. */
  readonly applies: (one: Case, ours: Said, go: GoSaid) => boolean;
}

const X509: readonly Kind[] = ['x509', 'svid'];
const CERTIFICATES: readonly Kind[] = ['x509', 'svid', 'x509bundle', 'pem'];
const DIGITAL_SIGNATURE = 1;
const ACCEPTED_KEYS = /^(?:RSA-(?:20(?:4[89]|[5-9]\d)|2[1-9]\d\d|[3-9]\d{3})|P-256|P-384|P-521)$/;
/** Critical extensions that we understand, or that say nothing about a path of ours. */
const UNDERSTOOD = new Set([
  '2.5.29.14',
  '2.5.29.15',
  '2.5.29.17',
  '2.5.29.19',
  '2.5.29.35',
  '2.5.29.37',
  '2.5.29.32',
]);

const KEY_USAGE = '2.5.29.15';
const NAME_CONSTRAINTS = '2.5.29.30';

/** Go gives a reason of this kind. */
export const goSays = (pattern: RegExp) => (_one: Case, _ours: Said, go: GoSaid) =>
  pattern.test(go.error ?? '');
const weSay = (pattern: RegExp) => (_one: Case, ours: Said) => pattern.test(ours.error ?? '');
const wasMade =
  (how: string) =>
  ({ made }: Case) =>
    made.includes(how);
const leaf = (go: GoSaid): Facts | undefined => go.facts?.[0];
const anyOf = (go: GoSaid, test: (facts: Facts) => boolean): boolean =>
  go.facts?.some(test) ?? false;

/** Where we are stricter than go-spiffe, then where it is stricter than we are. */
export const DIFFERENCES: readonly Difference[] = [
  {
    rule: 'A-02',
    why: 'a SPIFFE ID of more than 2048 bytes',
    kinds: ['id'],
    stricter: 'we',
    applies: ({ question }) => Buffer.byteLength(String(question['text'])) > 2048,
  },
  {
    rule: 'ID-17',
    why: 'a trust domain of more than 255 bytes',
    kinds: ['id'],
    stricter: 'we',
    applies: ({ question }) => /^spiffe:\/\/[^/]{256}/.test(String(question['text'])),
  },
  {
    rule: 'X509-07',
    why: 'a peer whose SPIFFE ID has no path',
    kinds: ['x509'],
    stricter: 'we',
    applies: (_one, _ours, go) => /^spiffe:\/\/[^/]+$/.test(leaf(go)?.uris?.[0] ?? ''),
  },
  {
    rule: 'X509-22, A-06',
    why: 'a peer whose key usage lacks digitalSignature, or that has none',
    kinds: ['x509'],
    stricter: 'we',
    applies: (_one, _ours, go) => ((leaf(go)?.keyUsage ?? 0) & DIGITAL_SIGNATURE) === 0,
  },
  {
    rule: 'X509-08, A-01, A-02, ID-02, ID-17',
    why: 'a URI that is a SPIFFE ID only after a parser of URLs has put it right, or that is too long',
    kinds: X509,
    stricter: 'we',
    applies: (_one, ours) =>
      /URI "(?:(?!spiffe:\/\/).*|.*#|.{200}…?|spiffe:\/\/[^/]{190}.*)" is not a SPIFFE ID/s.test(
        ours.error ?? '',
      ),
  },
  {
    rule: 'A-30',
    why: 'RSA below 2048 bits or with an exponent above 32, P-224, Ed25519',
    kinds: X509,
    stricter: 'we',
    applies: (_one, _ours, go) => anyOf(go, ({ key }) => !ACCEPTED_KEYS.test(key)),
  },
  {
    rule: 'X509-19, A-31',
    why: 'critical name constraints, which we do not evaluate',
    kinds: X509,
    stricter: 'we',
    applies: (_one, _ours, go) =>
      anyOf(go, ({ extensions }) => extensions?.[NAME_CONSTRAINTS] === true),
  },
  {
    rule: 'X509-27, A-06',
    why: 'a critical extension that is not understood: go-spiffe takes some of a peer’s, and all of its own',
    kinds: X509,
    stricter: 'we',
    applies: (_one, _ours, go) =>
      anyOf(go, ({ extensions }) =>
        Object.entries(extensions ?? {}).some(
          ([oid, critical]) => critical && !UNDERSTOOD.has(oid),
        ),
      ),
  },
  {
    rule: 'X509-05, X509-10',
    why: 'a leaf that stands among the authorities and so needs no issuer',
    kinds: ['x509'],
    stricter: 'we',
    applies: ({ question }) => {
      const [first = ''] = question['chain'] as readonly string[];
      return anchorsOf(question).includes(Buffer.from(first, 'base64'));
    },
  },
  {
    rule: 'A-34',
    why: 'DER that is not the one form: bytes left over, bits or booleans written otherwise',
    kinds: CERTIFICATES,
    stricter: 'we',
    applies: weSay(
      /bytes left over|a URI name is constructed|not a bit string of whole octets|is not a DER (?:list of named bits|boolean|object identifier)/,
    ),
  },
  {
    rule: 'X509-10, X509-27',
    why: 'a CA whose key usage holds nothing: to Go that is none at all',
    kinds: ['x509'],
    stricter: 'we',
    applies: (_one, _ours, go) =>
      anyOf(
        go,
        ({ keyUsage, extensions }) => keyUsage === 0 && extensions?.[KEY_USAGE] !== undefined,
      ),
  },
  {
    rule: 'WLA-17',
    why: 'a private key in a form that OpenSSL does not take',
    kinds: ['svid'],
    stricter: 'we',
    applies: wasMade('a mutated key'),
  },
  {
    rule: 'A-34',
    why: 'a PEM file that is broken somewhere: go-spiffe passes over the broken block',
    kinds: ['pem'],
    stricter: 'we',
    applies: wasMade('mutated as a whole'),
  },
  {
    rule: 'A-34',
    why: 'white space beside the boundaries of a PEM block, which go-spiffe passes over',
    kinds: ['pem'],
    stricter: 'neither',
    applies: (_one, ours, go) => go.items?.every((item) => ours.items?.includes(item)) ?? true,
  },
  {
    rule: 'A-34',
    why: 'text on the line of a boundary, which we pass over',
    kinds: ['pem'],
    stricter: 'go',
    applies: goSays(/no PEM blocks found/),
  },
  {
    rule: 'A-34',
    why: 'a serial number that is negative: RFC 5280 4.1.2.2 asks readers to cope',
    kinds: CERTIFICATES,
    stricter: 'go',
    applies: goSays(/negative serial number/),
  },
  {
    rule: 'ID-08',
    why: 'a trust domain that is no host name to Go’s parser of URLs',
    kinds: X509,
    stricter: 'go',
    applies: (_one, ours, go) =>
      /cannot parse URI/.test(go.error ?? '') && (go.error ?? '').includes(ours.id ?? 'none'),
  },
  {
    rule: 'X509-04, A-08, A-29',
    why: 'malformed names where no identity is read: a CA’s URIs, DNS names, addresses',
    kinds: CERTIFICATES,
    stricter: 'go',
    applies: goSays(
      /SAN \w+ is malformed|cannot parse (?:URI|IP address)|invalid subject alternative names/,
    ),
  },
  {
    rule: 'A-34',
    why: 'malformed extensions on which nothing rests: RFC 5280 4.2 lets readers ignore them',
    kinds: CERTIFICATES,
    stricter: 'go',
    applies: goSays(
      /(?:invalid|malformed) (?:extended key usages|authority info access|certificate policies|CRL distribution points?)|(?:invalid NameConstraints|empty name constraints) extension|invalid policy mappings|invalid constraint value|incorrectly marked critical/,
    ),
  },
  {
    rule: 'A-34',
    why: 'names of issuer or subject that hold no text: to us they are bytes that match or do not',
    kinds: CERTIFICATES,
    stricter: 'go',
    applies: goSays(/invalid RDNSequence/),
  },
  {
    rule: 'A-19, A-30',
    why: 'a certificate with a key that is none, which can have signed nothing, and so costs none of the others',
    kinds: CERTIFICATES,
    stricter: 'go',
    applies: goSays(
      /not on curve|unsupported elliptic curve|point encoding|invalid \w+ public key|RSA (?:modulus|public)|(?:invalid|malformed) (?:ECDSA )?parameters|missing NULL parameters/,
    ),
  },
  {
    rule: 'A-31',
    why: 'name constraints that are not critical',
    kinds: ['x509'],
    stricter: 'go',
    applies: goSays(/not authorized to sign for this name/),
  },
  {
    rule: 'A-29',
    why: 'a CA whose critical names are of no kind that Go knows',
    kinds: ['x509'],
    stricter: 'go',
    applies: (one, ours, go) =>
      goSays(/unhandled critical extension/)(one, ours, go) &&
      Object.entries(leaf(go)?.extensions ?? {}).every(
        ([oid, critical]) => !critical || UNDERSTOOD.has(oid),
      ),
  },
  {
    rule: 'WLA-17, WLA-19',
    why: 'a private key with odd members beside its number: it is ours if it signs',
    kinds: ['svid'],
    stricter: 'go',
    applies: goSays(/encoded private key/),
  },
];

/** The bundles of a question as bytes. */
function anchorsOf(question: Case['question']): Buffer {
  const bundles = Object.values((question['bundles'] ?? {}) as Record<string, string>);
  return Buffer.concat(bundles.map((bundle) => Buffer.from(bundle, 'base64')));
}
