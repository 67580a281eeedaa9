import { SpiffeError } from '../../errors.js';
import { quote } from '../../internal/quote.js';

/** The code of what a system call failed with. */
export function codeOf(cause: unknown): string {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : 'UNKNOWN';
}

/** The log is another identity's. */
export function foreign(directory: string, owner: string, id: string): SpiffeError {
  return new SpiffeError(
    'ERR_SPIFFE_AUDIT_INVALID',
    `cannot write to the audit log in ${quote(directory)} as ${id}: it is that of ${owner}; give each identity a directory of its own`,
  );
}

/** A record cannot be made durable. */
export function unavailable(directory: string, cause: unknown): SpiffeError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new SpiffeError(
    'ERR_SPIFFE_AUDIT_UNAVAILABLE',
    `cannot write to the audit log in ${quote(directory)}: ${why}; nothing runs that cannot be recorded`,
    { cause },
  );
}
