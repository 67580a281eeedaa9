import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { X509Bundles } from 'agent-spiffe';
import {
  auditLog,
  createGuard,
  functionPolicy,
  type Guard,
  type GuardedTool,
  oneOf,
  recordedRequest,
  type TaskOptions,
  verifyAuditLog,
  wildcard,
} from 'agent-spiffe/agent';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import {
  AGENT,
  linesOf,
  type ReadRecord,
  recordsOf,
  sizesOf,
  TemporaryDirectory,
} from '../../support/audit.js';
import { refusal } from '../../support/refusal.js';
import { staticIdentity } from '../../support/static-identity.js';

const TASK: TaskOptions = {
  purpose: 'answer ticket 42',
  ttlMs: 60_000,
  budget: { calls: 20 },
  tools: { search: { q: wildcard() } },
};

const RETURNS = { confidentiality: 'internal', integrity: 'trusted' } as const;

/** The part of a record that says what was asked. */
interface Asked {
  readonly request: { readonly data: { readonly context: Record<string, unknown> } };
}

/** What a record holds of text by default: the digest of its JSON. */
const digestOf = (text: string): string => createHash('sha256').update(`"${text}"`).digest('hex');

const kindsOf = (records: readonly ReadRecord[]): readonly string[] =>
  records.map(({ metadata }) => metadata.event_code);

describe('the audit log of a guard', () => {
  const ca = TestCa.create('example.org');

  /** What the record of a call holds of its result, which is `1234`. */
  const responseIn = async (unhashedResults?: readonly string[]): Promise<unknown> => {
    using other = new TemporaryDirectory();
    await using own = await createGuard({
      identity: staticIdentity(ca, AGENT),
      policy: functionPolicy(() => true),
      audit: auditLog(other.path, unhashedResults && { unhashedResults }),
    });
    const pin = own.tool('search', { effect: 'read', returns: RETURNS }, () => '1234');
    await own.task(TASK, () => pin({ q: 'x' }));
    const outcome = linesOf(other.path).find((line) =>
      line.includes('"event_code":"call.outcome"'),
    );
    return (JSON.parse(outcome ?? '') as { api: { response: { data: object } } }).api.response.data;
  };
  let home: TemporaryDirectory;
  let guard: Guard;
  let search: GuardedTool<{ q: string }, string>;
  /** What stood in the log each time the tool ran. */
  let seen: (readonly ReadRecord[])[];

  beforeEach(async () => {
    home = new TemporaryDirectory();
    seen = [];
    guard = await createGuard({
      identity: staticIdentity(ca, AGENT),
      policy: functionPolicy(({ context }) => context.arguments['q'] !== 'secrets'),
      audit: auditLog(home.path, { arguments: { search: 'keep' } }),
    });
    search = guard.tool('search', { effect: 'read', returns: RETURNS }, ({ q }: { q: string }) => {
      seen.push(recordsOf(home.path));
      return `found ${q}`;
    });
  });

  afterEach(async () => {
    await guard.close();
    home[Symbol.dispose]();
  });

  it('holds an intent before its function runs, and what came of it after', async () => {
    await guard.task(TASK, async () => {
      expect(await search({ q: 'acme' })).to.equal('found acme');
    });
    expect(seen.map((records) => kindsOf(records).at(-1))).to.deep.equal(['call.intent']);
    const calls = recordsOf(home.path).filter((record) =>
      record.metadata.event_code.startsWith('call.'),
    );
    expect(kindsOf(calls)).to.deep.equal(['call.intent', 'call.outcome']);
  });

  it('holds size and digest of a result, or its size alone where it is told so', async () => {
    const sha256 = createHash('sha256').update('1234').digest('hex');
    expect(await responseIn()).to.deep.include({ bytes: 4, sha256 });
    expect(await responseIn(['other'])).to.deep.include({ bytes: 4, sha256 });
    for (const names of [['search'], ['*']])
      expect(await responseIn(names))
        .to.include({ bytes: 4 })
        .and.not.to.have.property('sha256');
    refusal('ERR_SPIFFE_OPTION_INVALID', /unhashedResults: give a list/, () =>
      auditLog('x', { unhashedResults: 'search' as never }),
    );
  });

  it('is below a checkpoint, whole and verified, when the task has ended', async () => {
    await guard.task(TASK, () => search({ q: 'acme' }));
    const records = recordsOf(home.path);
    expect(kindsOf(records).at(-1)).to.equal('task.end');
    expect(sizesOf(home.path).at(-1)).to.equal(records.length);
    const verdict = await verifyAuditLog(home.path, {
      bundles: X509Bundles.of(ca.bundle),
      id: AGENT,
    });
    expect(verdict.problems).to.deep.equal([]);
    expect(verdict).to.include({ trusted: true, covered: records.length });
  });

  it('holds what was asked, so that it can be decided again', async () => {
    await guard.task(TASK, async () => {
      await search({ q: 'acme' });
      await search({ q: 'secrets' }).catch(() => {});
    });
    const asked = recordsOf(home.path).flatMap((record) => recordedRequest(record) ?? []);
    expect(asked.map(({ request }) => request.context.arguments)).to.deep.equal([
      { q: 'acme' },
      { q: 'secrets' },
    ]);
    expect(asked.map(({ missing }) => missing)).to.deep.equal([[], []]);
    const denied = recordsOf(home.path).find(
      ({ metadata }) => metadata.event_code === 'call.denied',
    );
    expect(denied).to.include({ action: 'Denied', status_code: 'policy' });
  });

  it('holds what was asked of a call that was refused before any policy was asked, by its rules', async () => {
    const send = guard.tool(
      'send',
      { effect: 'egress', sink: { clearance: 'public' }, destination: 'to' },
      () => 'sent',
    );
    const may = { ...TASK, tools: { ...TASK.tools, send: { to: oneOf('ann') } } };
    await guard.task(may, async () => {
      await send({ to: 'mallory' }).catch(() => {});
      await search({ q: 'acme' });
      await send({ to: 'ann' }).catch(() => {});
    });
    const denied = recordsOf(home.path).filter((record) => record['action'] === 'Denied');
    expect(denied.map((record) => record['status_code'])).to.deep.equal(['argument', 'label']);
    const [first, second] = denied.map(({ api }) => (api as Asked).request.data);
    expect(first?.context['arguments']).to.deep.equal({ to: { sha256: digestOf('mallory') } });
    expect(second?.context).to.deep.include({
      arguments: { to: { sha256: digestOf('ann') } },
      chain: ['search'],
      labels: { confidentiality: 'internal', integrity: 'trusted' },
    });
    expect(denied[1]?.['status_detail']).to.include(
      'holds internal data, and the sink takes public',
    );
    expect(JSON.stringify(denied)).not.to.include('mallory');
  });

  it('lets nothing run that it cannot take', async () => {
    let code: unknown;
    await guard
      .task(TASK, async () => {
        await search({ q: 'acme' });
        rmSync(join(home.path, '00000000000000000000.jsonl'));
        await search({ q: 'more' }).catch((error: { code: string }) => (code = error.code));
      })
      .catch(() => {});
    expect(code).to.equal('ERR_SPIFFE_AUDIT_UNAVAILABLE');
    expect(seen.length).to.equal(1);
  });
});
