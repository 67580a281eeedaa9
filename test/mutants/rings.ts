/** A ring, and the tests that must notice when it refuses less. */
export interface Ring {
  readonly name: string;
  /** Modules, or folders of them, below `dist`. */
  readonly modules: readonly string[];
  /** Tests, or folders of them, below `dist-test`. */
  readonly tests: readonly string[];
  /** Tests left out because they start other programs: what they say is said by others, faster. */
  readonly without?: string;
}

export const RINGS: readonly Ring[] = [
  {
    name: 'identity',
    modules: ['identity', 'internal/der.js', 'internal/pem.js', 'internal/quote.js'],
    tests: ['identity', 'internal/der.test.js', 'internal/pem.test.js', 'internal/quote.test.js'],
    without: 'OpenSSL',
  },
  {
    name: 'tls',
    modules: ['tls'],
    tests: ['tls', 'attacks', 'bindings'],
  },
];

/** A mutant that no test can notice, and why. */
export interface Equivalent {
  readonly module: string;
  /** As the list of survivors shows it. */
  readonly code: string;
  readonly why: string;
}

export const EQUIVALENT: readonly Equivalent[] = [
  {
    module: 'identity/peer-rule.js',
    code: "!rule.includes('*') => false",
    why: 'a pattern without a * is compared segment by segment, and as a whole for speed',
  },
  {
    module: 'identity/x509/bundle.js',
    code: "typeof pem === 'string' => false",
    why: 'a text put through bytes is the same text where PEM looks at it, which is ASCII',
  },
  {
    module: 'identity/jwt/judge.js',
    code: 'authority.kind === algorithm.keyKind && hasLength(algorithm, authority.key, signature) => (hasLength(algorithm, authority.key, signature))',
    why: 'keys of two kinds make signatures of two lengths; JWT-05 does not rest on that',
  },
  {
    module: 'identity/jwt/bundle.js',
    code: "typeof json === 'string' => true",
    why: 'bytes put through Buffer.from are the same bytes',
  },
  ...['false', 'part.length < LONGEST_KNOWN_HEADER'].map((code) => ({
    module: 'identity/jwt/token.js',
    code: `part.length <= LONGEST_KNOWN_HEADER => ${code}`,
    why: 'a header that is remembered is read again to the same end, later',
  })),
  {
    module: 'tls/connect.js',
    code: 'servername === undefined => false',
    why: 'Node takes an undefined name for none; the types do not',
  },
  {
    module: 'tls/connect.js',
    code: "codeOf(cause) || 'the connection closed' => (codeOf(cause))",
    why: 'Node never closes a connection before its handshake without an error; were it to, nothing must wait for ever',
  },
  {
    module: 'tls/connections.js',
    code: 'return; => ;',
    why: 'a new loop for each connection would do the same, at a cost that grows with their number',
  },
];
