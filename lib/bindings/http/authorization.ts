import type { Dispatcher } from 'undici';
import { SpiffeError } from '../../errors.js';
import { quote } from '../../internal/quote.js';
import type { Target } from './targets.js';

const NAME = 'authorization';

/** The value of the header that carries a token (JWT-21). */
export function bearer(token: string): string {
  return `Bearer ${token}`;
}

/** For a request that comes with a header of its own where the JWT-SVID goes. */
export function twoAuthorizations({ origin, jwtAudience }: Target): SpiffeError {
  return new SpiffeError(
    'ERR_SPIFFE_OPTION_INVALID',
    `cannot send a request to ${quote(origin)}: it has an Authorization header of its own, where the JWT-SVID for ${quote(jwtAudience)} goes; leave out that header, or jwtAudience`,
  );
}

/** The headers of a request to undici. */
export type UndiciHeaders = Exclude<Dispatcher.DispatchOptions['headers'], undefined>;

/**
 * What takes these headers, in any of the forms that undici knows, and a token that comes later; `undefined` when there
 * is an Authorization among them. They are read once, since they may be an iterator.
 */
export function headersFor(
  headers: UndiciHeaders | undefined,
): ((token: string) => UndiciHeaders) | undefined {
  const pairs = pairsOf(headers);
  const taken = pairs.some(
    ([name, value]) => value !== undefined && String(name).toLowerCase() === NAME,
  );
  // A value may be a list, whatever undici's types say of this form.
  return taken ? undefined : (token) => [...pairs.flat(1), NAME, bearer(token)] as string[];
}

type Pair = readonly [name: unknown, value: unknown];

function pairsOf(headers: UndiciHeaders | undefined): readonly Pair[] {
  if (headers === undefined || headers === null) return [];
  if (!Array.isArray(headers))
    return Symbol.iterator in headers ? [...headers] : Object.entries(headers);
  // Name, value, name, value.
  return headers.flatMap((name, at) => (at % 2 === 0 ? [[name, headers[at + 1]] as const] : []));
}
