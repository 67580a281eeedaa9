import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { Identity } from 'agent-spiffe';
import {
  auditLog,
  createGuard,
  functionPolicy,
  type Guard,
  readAuditLog,
  verifyAuditLog,
} from 'agent-spiffe/agent';
import { tell } from '../quickstart/tell.js';

/** One who acts, with a guard and a record of its own. */
export interface Party {
  readonly guard: Guard;
  /** Closes the record, and verifies that it says so often what `expected` says. */
  tellRecord(expected: Readonly<Record<string, number>>): Promise<void>;
}

export async function party(identity: Identity, home: string): Promise<Party> {
  const id = identity.x509.svid().id.toString();
  const directory = join(home, id.split('/').at(-1) ?? '');
  const policy = functionPolicy(() => true);
  const guard = await createGuard({ identity, policy, audit: auditLog(directory) });
  return {
    guard,
    async tellRecord(expected) {
      await guard.close();
      // Every record is the one that was signed, by a key that an SVID of this party vouches for.
      const against = { bundles: identity.x509.bundles, id };
      const { problems, trusted, records, covered } = await verifyAuditLog(directory, against);
      const found = { problems, trusted, covered };
      assert.deepEqual(found, { problems: [], trusted: true, covered: records });
      const counted: Record<string, number> = {};
      for await (const { record } of readAuditLog(directory)) {
        const { event_code: kind } = record['metadata'] as { readonly event_code: string };
        const told = kind === 'call.denied' ? `${kind} ${record['status_code'] as string}` : kind;
        if (told in expected) counted[told] = (counted[told] ?? 0) + 1;
      }
      assert.deepEqual(counted, expected);
      const all = Object.entries(expected).map(([kind, times]) => `${times} ${kind}`);
      tell.fact(id, `${records} records, none altered: ${all.join(', ')}`);
    },
  };
}

/** The reason for which a call is refused, here or by the server, which tells no more than that. */
export async function reasonOf(call: Promise<unknown>): Promise<unknown> {
  const error: unknown = await call.then(
    (value) => assert.fail(`it was not refused: ${JSON.stringify(value)}`),
    (thrown: unknown) => thrown,
  );
  const { data, reason, message } = error as Partial<Record<string, string>> & {
    readonly data?: { readonly reason: string };
  };
  tell.fact(message, data === undefined ? 'says its own guard' : 'says the server');
  return data === undefined ? reason : data.reason;
}
