import { SpiffeError } from '../errors.js';
import { quote } from './quote.js';

/** Node's timers hold 31 bits; a longer one would fire at once. */
const LONGEST_MS = 2 ** 31 - 1;

/**
 * Options as given, or `ERR_SPIFFE_OPTION_INVALID` where something else stands in their place: an address, a handler.
 *
 * @param example - options as they might be, for the message.
 */
export function checkOptions<T extends object>(options: T, example: string): T {
  if (typeof options === 'object' && options !== null) return options;
  throw new SpiffeError(
    'ERR_SPIFFE_OPTION_INVALID',
    `cannot take ${quote(options)} as options: give an object, such as ${example}`,
  );
}

/** A duration option as given, or `ERR_SPIFFE_OPTION_INVALID` unless it is a whole number of ms that a timer takes. */
export function checkDuration(name: string, ms: number): number {
  if (Number.isSafeInteger(ms) && ms > 0 && ms <= LONGEST_MS) return ms;
  const shown = typeof ms === 'number' ? String(ms) : quote(ms);
  throw new SpiffeError(
    'ERR_SPIFFE_OPTION_INVALID',
    `cannot take ${shown} as ${name}: give a whole number of milliseconds from 1 to ${LONGEST_MS}`,
  );
}

/** An AbortSignal option as given, or `ERR_SPIFFE_OPTION_INVALID` for something else in its place. */
export function checkSignal(signal: AbortSignal | undefined): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal;
  throw new SpiffeError(
    'ERR_SPIFFE_OPTION_INVALID',
    `cannot take ${quote(signal)} as signal: give an AbortSignal`,
  );
}
