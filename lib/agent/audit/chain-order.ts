import type { JsonObject } from '../../internal/json.js';
import { grantOf, kindOf, timeOf } from './chain-record.js';

/** A record, and where it stands. */
export interface PlacedRecord {
  /** Which of the logs. */
  readonly log: number;
  readonly index: number;
  readonly record: JsonObject;
}

/**
 * Several logs as one, each in its own order. Between logs the earlier time goes first, but for what was accepted before it
 * was given: clocks differ, and that cannot be.
 *
 * @param onRecord - the grants whose giving one of the logs tells of.
 */
export async function* mergeRecords(
  sources: readonly AsyncGenerator<PlacedRecord>[],
  onRecord: ReadonlySet<string>,
): AsyncGenerator<PlacedRecord> {
  const awaited = new Set(onRecord);
  const heads: Head[] = [];
  for (const source of sources) await refill(heads, source);
  while (heads.length > 0) {
    const ready = heads.filter(({ placed }) => !waits(placed.record, awaited));
    // Logs that cannot all be true: then time alone decides.
    const next = earliest(ready.length > 0 ? ready : heads);
    heads.splice(heads.indexOf(next), 1);
    const { record } = next.placed;
    const kind = kindOf(record);
    if (kind === 'grant.issue' || kind === 'grant.derive')
      awaited.delete(grantOf(record)?.jti ?? '');
    yield next.placed;
    await refill(heads, next.source);
  }
}

interface Head {
  readonly placed: PlacedRecord;
  readonly source: AsyncGenerator<PlacedRecord>;
}

async function refill(heads: Head[], source: AsyncGenerator<PlacedRecord>): Promise<void> {
  const next = await source.next();
  if (next.done !== true) heads.push({ placed: next.value, source });
}

function waits(record: JsonObject, awaited: ReadonlySet<string>): boolean {
  return kindOf(record) === 'grant.accept' && awaited.has(grantOf(record)?.jti ?? '');
}

function earliest(heads: readonly Head[]): Head {
  return heads.reduce((first, head) => {
    const by = timeOf(head.placed.record) - timeOf(first.placed.record);
    return by < 0 || (by === 0 && head.placed.log < first.placed.log) ? head : first;
  });
}
