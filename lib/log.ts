import { SpiffeError } from './errors.js';

/**
 * Where a long-lived object tells what happens to it. A pino logger fits as it is; so does any object with these
 * four methods. Fields never hold a private key, a token or a PEM block.
 */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

const nothing = (): void => {};

/** The logger used when none is given: it says nothing. */
export const SILENT: Logger = Object.freeze({
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
});

/** The logger as given, or `ERR_SPIFFE_OPTION_INVALID` for one that would fail when there is something to say. */
export function checkLogger(logger: Logger): Logger {
  const given = logger as Partial<Logger> | null;
  for (const method of ['debug', 'info', 'warn', 'error'] as const) {
    if (typeof given?.[method] === 'function') continue;
    throw new SpiffeError(
      'ERR_SPIFFE_OPTION_INVALID',
      `cannot log: the logger has no method ${method}; it needs debug, info, warn and error`,
    );
  }
  return logger;
}
