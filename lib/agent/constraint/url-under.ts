const WELL_FORMED = '';

/** Schemes for which a URL has a host and a path of segments. */
const SCHEMES: ReadonlySet<string> = new Set(['https:', 'http:', 'wss:', 'ws:']);
const DEFAULT_PORTS: Readonly<Record<string, string>> = {
  'https:': '443',
  'wss:': '443',
  'http:': '80',
  'ws:': '80',
};

/**
 * Scheme, `://`, authority, then a path or nothing. No backslash, which WHATWG takes for a slash; no control character or blank, which
 * it strips or encodes; nothing beyond ASCII, which it maps. What differs between parsers is refused, not interpreted.
 */
const PLAIN = /^([a-z]+:)\/\/([^/?#\\]+)(?:(\/[^?#]*)(?:[?#].*)?)?$/i;
const UGLY = /[^!-~]|\\/;

interface Location {
  readonly scheme: string;
  readonly host: string;
  readonly port: string;
  readonly segments: readonly string[];
}

/** What is wrong with the base of a `url_under`; empty when nothing is. */
export function urlBaseProblem(base: string): string {
  if (/[?#]/.test(base)) return 'its base has no query and no fragment';
  return parse(base) === undefined
    ? 'its base is an absolute http, https, ws or wss URL, written as a URL parser writes it'
    : WELL_FORMED;
}

/**
 * Whether a URL has the scheme, the host and the port of `base`, and a path that begins with the segments of its
 * path. Query and fragment may be anything.
 */
export function underUrl(base: string): (text: string) => boolean {
  const above = parse(base);
  return (text) => {
    const under = parse(text);
    return (
      under !== undefined &&
      under.scheme === above?.scheme &&
      under.host === above.host &&
      under.port === above.port &&
      above.segments.every((segment, i) => under.segments[i] === segment)
    );
  };
}

function parse(text: string): Location | undefined {
  if (UGLY.test(text)) return undefined;
  const [, scheme = '', authority = '', path = '/'] = PLAIN.exec(text) ?? [];
  if (!SCHEMES.has(scheme.toLowerCase()) || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  const defaultPort = DEFAULT_PORTS[url.protocol] ?? '';
  // User info, `127.1`, `0x7f.1`, `%31`, an empty port: whatever the parser would write differently is refused.
  const written = authority.toLowerCase();
  if (written !== url.host && written !== `${url.host}:${defaultPort}`) return undefined;
  if (!path.split('/').slice(1).every(isPlainSegment) || url.pathname !== path) return undefined;
  const segments = path.split('/').slice(1);
  // A slash at the end makes no segment of its own: `/api/` is above `/api` and `/api/x` alike.
  if (segments.at(-1) === '') segments.pop();
  if (segments.includes('')) return undefined;
  return { scheme: url.protocol, host: url.hostname, port: url.port || defaultPort, segments };
}

/**
 * Whether a segment means itself to whoever decodes it, however often, and reads it again as a part of a URL: never a
 * dot segment, never more than one segment.
 */
function isPlainSegment(segment: string): boolean {
  let text = segment;
  for (;;) {
    if (!isPlainName(text)) return false;
    let decoded: string;
    try {
      decoded = decodeURIComponent(text);
    } catch {
      // Not percent-encoded UTF-8: fine for what has been decoded already (`100%25`), a trick in what was written.
      return text !== segment;
    }
    if (decoded === text) return true;
    text = decoded;
  }
}

/**
 * The same for one reading. Some take what follows a `;` for parameters, and a `?` or a `#` for the end of the path;
 * blanks at the ends are dropped, controls anywhere, and signs of full width become those that they look like.
 */
function isPlainName(text: string): boolean {
  const plain = text.normalize('NFKC');
  const name = plain.split(/[;?#]/, 1)[0]?.trim();
  return name !== '.' && name !== '..' && !/[/\\\p{Cc}]/u.test(plain);
}
