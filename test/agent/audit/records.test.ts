import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  type ApprovalEvent,
  type AuditEvent,
  type CallDeniedEvent,
  type GrantRef,
  type LabelEvent,
  recordedRequest,
  type TaskStartEvent,
} from 'agent-spiffe/agent';
import { expect } from 'chai';
import { assert, constantFrom, dictionary, jsonValue, property, string } from 'fast-check';
import { type ArgumentRules, parseArgumentRules } from '#lib/agent/audit/argument-rules.js';
import { eventLine } from '#lib/agent/audit/line.js';
import { canonicalJson } from '#lib/internal/canonical-json.js';
import type { JsonObject, JsonValue } from '#lib/internal/json.js';
import { AGENT, intent, NOON, outcome, request, TASK, taskEnd } from '../../support/audit.js';

const SETTING = { origin: 'example.org/agents/researcher/audit/00', version: '1.2.3' };
const BASE = { time: NOON, agent: AGENT, task: TASK } as const;
const CALL = { id: 'call-1', tool: 'send_email', effect: 'egress' } as const;
const LABELS = { confidentiality: 'confidential', integrity: 'untrusted' } as const;
const DECISION = { revision: 'sha256:1', reasons: ['p1', 'p2'], obligations: [] } as const;

const TASK_START: TaskStartEvent = {
  ...BASE,
  kind: 'task.start',
  expiresAt: NOON + 300_000,
  clearance: 'confidential',
  tools: { search: { q: { wildcard: true } } },
  toolDigests: { search: 'cd'.repeat(32) },
  budget: { calls: 20 },
  business: { ticket: 42 },
  keyThumbprint: 'thumb',
};
const GRANT: GrantRef = {
  jti: 'g-2',
  chain: ['g-1', 'g-2'],
  holder: 'spiffe://example.org/agents/mailer',
  tools: ['send_email'],
  expiresAt: NOON + 300_000,
};
const DENIED: CallDeniedEvent = {
  ...BASE,
  kind: 'call.denied',
  call: CALL,
  denial: { reason: 'argument', message: 'cannot take "eve@evil.test" as to', policies: [] },
  request: request({ to: 'eve@evil.test' }, 'send_email'),
};
const DECLASSIFY: LabelEvent = {
  ...BASE,
  kind: 'label.declassify',
  before: LABELS,
  after: { confidentiality: 'internal', integrity: 'untrusted' },
  justification: 'reviewed',
  request: {
    ...request({}),
    action: { name: 'labels/declassify' },
    resource: {
      type: 'task',
      id: TASK.id,
      properties: { to: LABELS, justification: 'reviewed' },
    },
  },
  decision: DECISION,
};

/** One of each kind, and of what makes a record of that kind another. */
const EVENTS: readonly AuditEvent[] = [
  TASK_START,
  intent({ q: 'acme' }),
  intent(
    { q: 'acme' },
    {
      evaluateOnly: true,
      wouldDeny: [{ reason: 'policy', message: 'no', policies: ['p3'] }],
      trace: { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) },
    },
  ),
  outcome(),
  outcome({ status: 'failure', error: 'TypeError' }),
  DENIED,
  { ...DENIED, denial: { reason: 'policy', message: 'no', policies: ['p3'] }, decision: DECISION },
  {
    kind: 'call.denied',
    time: NOON,
    agent: AGENT,
    call: CALL,
    denial: { reason: 'no-task', message: 'no', policies: [] },
  },
  DECLASSIFY,
  {
    ...DECLASSIFY,
    kind: 'label.endorse',
    denial: { reason: 'policy', message: 'no', policies: ['p3'] },
  },
  {
    ...BASE,
    kind: 'approval',
    call: CALL,
    argumentsDigest: 'ef'.repeat(32),
    by: 'security',
    outcome: 'granted',
    approver: 'ann',
  },
  {
    ...BASE,
    kind: 'approval',
    call: CALL,
    argumentsDigest: 'ef'.repeat(32),
    by: 'security',
    outcome: 'timed-out',
  },
  { ...BASE, kind: 'credential', operation: 'issued', credential: 'task key', reference: 'thumb' },
  { ...BASE, kind: 'credential', operation: 'dropped', credential: 'task key', reference: 'thumb' },
  {
    ...BASE,
    kind: 'credential',
    operation: 'renewed',
    credential: 'x509-svid',
    reference: '0a1b',
    subject: `${AGENT}/task/${TASK.id}`,
    expiresAt: NOON + 300_000,
  },
  {
    ...BASE,
    kind: 'credential',
    operation: 'refused',
    credential: 'x509-svid',
    reference: 'spiffe://example.org/agents/mailer',
    subject: `${AGENT}/task/${TASK.id}`,
    reason: 'it is no task of the caller',
  },
  { kind: 'rotation', time: NOON, agent: AGENT, serialNumber: '0a1b', notAfter: NOON + 3600_000 },
  taskEnd(),
  taskEnd({ ending: 'revoked', reason: 'asked by ops' }),
  { ...BASE, kind: 'grant.issue', grant: { ...GRANT, jti: 'g-1', chain: ['g-1'] }, issuer: AGENT },
  { ...BASE, kind: 'grant.derive', grant: GRANT, issuer: AGENT },
  { ...BASE, kind: 'grant.accept', grant: GRANT, issuer: AGENT, tool: 'send_email', proof: 'p-1' },
  { ...BASE, kind: 'grant.revoke', grant: GRANT },
  {
    kind: 'grant.refuse',
    time: NOON,
    agent: AGENT,
    step: 'revoked',
    reason: 'cannot take the grant',
    peer: 'spiffe://example.org/agents/mailer',
    tool: 'send_email',
    claimed: ['g-1', 'g-2'],
  },
  {
    ...BASE,
    kind: 'approval',
    change: 'labels/endorse',
    argumentsDigest: 'ef'.repeat(32),
    by: 'security',
    outcome: 'refused',
    approver: 'ann',
  },
];

function lineOf(event: AuditEvent, rules: ArgumentRules = {}): string {
  return eventLine(event, 7, SETTING, parseArgumentRules(rules));
}

interface Ocsf {
  readonly [name: string]: unknown;
  readonly action_id: number;
  readonly disposition_id: number;
  readonly metadata: { readonly [name: string]: unknown };
  readonly api: {
    readonly operation: string;
    readonly service?: { readonly name: string };
    readonly request: {
      readonly uid: string;
      readonly data: {
        readonly context: { readonly arguments: unknown };
        readonly resource: { readonly properties: unknown };
      };
    };
  };
  readonly resources: readonly { readonly name: string; readonly type: string }[];
  readonly status_detail?: string;
  readonly unmapped: { readonly [name: string]: unknown };
}

function recordOf(event: AuditEvent, rules: ArgumentRules = {}): Ocsf {
  return JSON.parse(lineOf(event, rules)) as Ocsf;
}

const argumentsOf = (event: AuditEvent, rules: ArgumentRules = {}): unknown =>
  recordOf(event, rules).api.request.data.context.arguments;

const detail = (message: string, rules: ArgumentRules = {}): string | undefined =>
  recordOf({ ...DENIED, denial: { ...DENIED.denial, message } }, rules).status_detail;

/** SHA-256 of canonical JSON that was written by hand. */
const sha256 = (json: string): string => createHash('sha256').update(json).digest('hex');

describe('a record of the audit log', () => {
  it('is, for each kind of event, what it has always been', () => {
    const pin = readFileSync(
      new URL('../../../test/pins/audit-records.jsonl', import.meta.url),
      'utf8',
    );
    expect(EVENTS.map((event) => lineOf(event)).join('')).to.equal(pin);
  });

  it('is one line of canonical JSON, and begins with what was decided', () => {
    for (const event of EVENTS) {
      const line = lineOf(event, { '*': 'keep' });
      expect(line.slice(0, -1)).to.equal(canonicalJson(JSON.parse(line) as JsonValue));
      expect(line.startsWith('{"action":'), event.kind).to.equal(true);
    }
  });

  it('is canonical JSON whatever the arguments are', () => {
    assert(
      property(
        dictionary(string(), jsonValue({ noUnicodeString: false })),
        constantFrom('keep', 'digest', 'redact'),
        (args, rule) => {
          const line = lineOf(intent(args as Record<string, JsonValue>), { '*': rule });
          expect(line.slice(0, -1)).to.equal(canonicalJson(JSON.parse(line) as JsonValue));
        },
      ),
    );
  });

  it('has the members of RFC 8785 where objects cannot have their order', () => {
    const line = lineOf(intent({ q: { 10: 'ten', 9: 'nine', '-': 'dash' } }), { '*': 'keep' });
    expect(line).to.include('"q":{"value":{"-":"dash","10":"ten","9":"nine"}}');
  });

  it('has a member named __proto__ like any other', () => {
    const args = JSON.parse('{"__proto__":1,"constructor":2}') as Record<string, JsonValue>;
    const line = lineOf(intent(args), { '*': 'keep' });
    expect(line).to.include('"arguments":{"__proto__":{"value":1},"constructor":{"value":2}}');
  });

  it('has U+FFFD for what no text can hold, and no argument that is not text', () => {
    const task = { ...TASK, purpose: 'half \ud800 a pair' };
    expect(lineOf(taskEnd({ task }))).to.include('"purpose":"half \ufffd a pair"');
    for (const rule of ['keep', 'digest'] as const)
      expect(() => lineOf(intent({ q: '\ud800' }), { '*': rule })).to.throw(
        TypeError,
        'lone surrogate',
      );
  });

  describe('says by OCSF 1.9', () => {
    /** Attributes of API Activity with the profiles ai_operation, security_control and trace, as far as they are used. */
    const ATTRIBUTES = new Set(
      (
        'action action_id activity_id activity_name actor ai_agent api authorizations category_uid class_uid disposition ' +
        'disposition_id is_alert message metadata policy resources severity_id src_endpoint status status_code ' +
        'status_detail status_id time trace type_uid unmapped'
      ).split(' '),
    );
    /** Those that API Activity requires. */
    const REQUIRED =
      'activity_id actor api category_uid class_uid metadata severity_id src_endpoint time type_uid'.split(
        ' ',
      );

    it('what class requires, and nothing that it does not have', () => {
      for (const event of EVENTS) {
        const record = recordOf(event);
        expect(
          Object.keys(record).filter((name) => !ATTRIBUTES.has(name)),
          event.kind,
        ).to.deep.equal([]);
        for (const name of REQUIRED) expect(record, event.kind).to.have.property(name);
        expect(record['class_uid']).to.equal(6003);
        expect(record['category_uid']).to.equal(6);
        expect(record['type_uid']).to.equal(6003 * 100 + Number(record['activity_id']));
        expect(record.metadata['version']).to.equal('1.9.0');
        expect(record.metadata['product']).to.include({
          vendor_name: 'agent-spiffe',
          version: '1.2.3',
        });
        expect(record.metadata['sequence']).to.equal(7);
      }
    });

    it('under which profiles it does', () => {
      expect(recordOf(outcome()).metadata['profiles']).to.deep.equal([
        'ai_operation',
        'security_control',
      ]);
      const trace = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) };
      const traced = recordOf(outcome({ trace }));
      expect(traced.metadata['profiles']).to.deep.equal([
        'ai_operation',
        'security_control',
        'trace',
      ]);
      expect(traced['trace']).to.deep.equal({ span: { uid: trace.spanId }, uid: trace.traceId });
    });

    it('by number and caption what was made of it', () => {
      /** Captions of the dictionary. */
      const actions = new Map([
        [1, 'Allowed'],
        [2, 'Denied'],
        [3, 'Observed'],
      ]);
      const dispositions = new Map([
        [1, 'Allowed'],
        [2, 'Blocked'],
        [8, 'Approved'],
        [15, 'Detected'],
        [17, 'Logged'],
        [24, 'Access Revoked'],
        [25, 'Rejected'],
      ]);
      const activities = new Map([
        [1, 'Create'],
        [2, 'Read'],
        [3, 'Update'],
        [4, 'Delete'],
      ]);
      for (const event of EVENTS) {
        const record = recordOf(event);
        expect(record['action']).to.equal(actions.get(record.action_id));
        expect(record['disposition']).to.equal(dispositions.get(record.disposition_id));
        const activity = activities.get(Number(record['activity_id']));
        if (activity !== undefined) expect(record['activity_name']).to.equal(activity);
        else expect(record['activity_id']).to.equal(99);
      }
    });

    const VERDICTS: readonly (readonly [string, AuditEvent, string, string])[] = [
      ['a call that may run', intent({}), 'Allowed', 'Allowed'],
      ['a call that was refused', DENIED, 'Denied', 'Blocked'],
      ['a call that would have been refused', EVENTS[2] as AuditEvent, 'Observed', 'Detected'],
      ['an approval', EVENTS[10] as AuditEvent, 'Allowed', 'Approved'],
      ['an approval that did not come', EVENTS[11] as AuditEvent, 'Denied', 'Rejected'],
      ['a task that was revoked', taskEnd({ ending: 'revoked' }), 'Denied', 'Access Revoked'],
      ['a label that was lowered', DECLASSIFY, 'Allowed', 'Allowed'],
      ['what came of a call', outcome(), 'Observed', 'Logged'],
    ];
    for (const [what, event, action, disposition] of VERDICTS) {
      it(`of ${what}: ${action}, ${disposition}`, () => {
        expect(recordOf(event)).to.include({ action, disposition });
      });
    }
  });

  it('tells of an approval of a change of labels which it was, and of no tool', () => {
    const record = recordOf(EVENTS.at(-1) as AuditEvent);
    expect(record).to.include({ disposition: 'Rejected' });
    expect(record['message']).to.equal('approval of labels/endorse by security: refused');
    expect(record['unmapped']).to.deep.equal({
      approval: {
        approver: 'ann',
        arguments_sha256: 'ef'.repeat(32),
        by: 'security',
        change: 'labels/endorse',
      },
    });
    expect(record).not.to.have.property('resources');
  });

  it('tells no digest of arguments of which one is redacted, which the others would give away', () => {
    const asked = { ...(EVENTS[10] as ApprovalEvent), argumentNames: ['pin', 'to'] };
    const digest = (rules: ArgumentRules): unknown =>
      (recordOf(asked, rules).unmapped['approval'] as JsonObject)['arguments_sha256'];
    expect(digest({ send_email: { pin: 'redact', to: 'keep' } })).to.equal(undefined);
    expect(digest({ '*': 'redact' })).to.equal(undefined);
    expect(digest({ send_email: 'keep', other: { pin: 'redact' } })).to.equal('ef'.repeat(32));
  });

  it('answers the seven questions of draft-ietf-wimse-aims', () => {
    const denied = recordOf({
      ...DENIED,
      decision: DECISION,
      denial: { reason: 'policy', message: 'no', policies: ['p3'] },
    });
    expect(denied['ai_agent']).to.deep.equal({ instance_uid: 'task-1', uid: AGENT });
    expect(denied['actor']).to.deep.equal({ app_uid: AGENT, user: { uid: 'ann' } });
    expect(denied.resources[0]).to.include({ name: 'send_email', type: 'tool' });
    expect(denied.api.operation).to.equal('tools/call');
    expect(denied).to.include({ action: 'Denied', time: NOON, status_code: 'policy' });
    expect(denied['authorizations']).to.deep.equal([{ decision: 'Denied', policy: { uid: 'p3' } }]);
    expect(denied['policy']).to.include({ uid: 'sha256:1' });
    expect(denied.metadata['correlation_uid']).to.equal('task-1');
    expect(denied.api.request.uid).to.equal('call-1');
    expect(denied.api.request.data.context).to.have.property('labels');
    const revoked = recordOf(taskEnd({ ending: 'revoked', reason: 'asked by ops' }));
    expect(revoked).to.include({ status_code: 'revoked', status_detail: 'asked by ops' });
  });

  describe('holds an argument', () => {
    const args = { q: 'acme', n: 7, deep: { b: [1, 'two'], a: null } };

    it('as the digest of its canonical JSON, unless told otherwise', () => {
      expect(argumentsOf(intent(args))).to.deep.equal({
        deep: { sha256: sha256('{"a":null,"b":[1,"two"]}') },
        n: { sha256: sha256('7') },
        q: { sha256: sha256('"acme"') },
      });
    });

    it('as its own rule says, then as the rule for the others of its tool, then as that for the other tools', () => {
      const rules: ArgumentRules = {
        search: { q: 'keep', '*': 'redact' },
        other: 'keep',
        '*': { n: 'keep' },
      };
      expect(argumentsOf(intent(args), rules)).to.deep.equal({
        deep: { redacted: true },
        n: { redacted: true },
        q: { value: 'acme' },
      });
      const elsewhere = intent(args, { request: request(args, 'unheard-of') });
      expect(argumentsOf(elsewhere, rules)).to.deep.equal({
        deep: { sha256: sha256('{"a":null,"b":[1,"two"]}') },
        n: { value: 7 },
        q: { sha256: sha256('"acme"') },
      });
      expect(argumentsOf(intent(args, { request: request(args, 'other') }), rules)).to.deep.equal({
        deep: { value: args.deep },
        n: { value: 7 },
        q: { value: 'acme' },
      });
    });

    it('as a digest at most when the decision obliges to that', () => {
      const decision = {
        ...DECISION,
        obligations: [{ type: 'redact', arguments: ['q'] }],
      } as const;
      expect(argumentsOf(intent({ q: 'acme', n: 7 }, { decision }), { '*': 'keep' })).to.deep.equal(
        {
          n: { value: 7 },
          q: { sha256: sha256('"acme"') },
        },
      );
      expect(argumentsOf(intent({ q: 'acme' }, { decision }), { '*': 'redact' })).to.deep.equal({
        q: { redacted: true },
      });
    });

    it('in the same way where it names what is acted upon, or where data goes', () => {
      const sent = request({ to: 'ann@acme.test', box: 'out' }, 'send_email');
      const placed = intent(
        {},
        {
          request: {
            ...sent,
            resource: {
              ...sent.resource,
              properties: {
                effect: 'egress',
                returns: LABELS,
                destination: 'ann@acme.test',
                target: 'out',
              },
            },
          },
        },
      );
      const placesOf = (rules: ArgumentRules): readonly string[] =>
        recordOf(placed, rules).resources.map(({ type, name }) => `${type} ${name}`);
      expect(placesOf({})).to.deep.equal([
        'tool search',
        `target sha256:${sha256('"out"')}`,
        `destination sha256:${sha256('"ann@acme.test"')}`,
      ]);
      expect(placesOf({ '*': { to: 'keep', box: 'redact' } })).to.deep.equal([
        'tool search',
        'target redacted',
        'destination ann@acme.test',
      ]);
      expect(lineOf(placed)).to.not.include('ann@acme.test');
      expect(
        recordOf(placed, { '*': { to: 'keep' } }).api.request.data.resource.properties,
      ).to.deep.equal({
        destination: { value: 'ann@acme.test' },
        effect: 'egress',
        returns: LABELS,
        target: { sha256: sha256('"out"') },
      });
    });

    const HIDDEN: readonly (readonly [string, JsonValue, string])[] = [
      ['a text', 'hunter2', 'cannot take hunter2'],
      ['a text at the very beginning', 'hunter2', 'hunter2 is refused'],
      ['a number', 4711, 'cannot take 4711'],
      ['an item of a list', ['a', [4711]], 'cannot take 4711'],
      ['a member of an object', { pin: 4711, none: null }, 'cannot take 4711'],
      ['the name of a member', { hunter2: true }, 'there is no hunter2'],
    ];
    for (const [what, to, message] of HIDDEN) {
      it(`not in the words of a denial: ${what}`, () => {
        const asked = request({ to }, 'send_email');
        const denied = { ...DENIED, request: asked, denial: { ...DENIED.denial, message } };
        expect(recordOf(denied).status_detail).to.equal(undefined);
        expect(recordOf(denied, { '*': 'keep' }).status_detail).to.equal(message);
      });
    }

    it('nowhere else when it is not to be held: not in the words of a denial either', () => {
      expect(detail('cannot take "eve@evil.test" as to')).to.equal('cannot take (withheld) as to');
      expect(detail('cannot send to eve@evil.test')).to.equal(undefined);
      expect(detail('cannot send more than 5 mails')).to.equal('cannot send more than 5 mails');
      expect(detail('cannot take "eve@evil.test" as to', { '*': 'keep' })).to.equal(
        'cannot take "eve@evil.test" as to',
      );
    });
  });

  describe('gives back what was asked', () => {
    const sent = request({ to: 'ann@acme.test', body: 'hello', n: 1 }, 'send_email');
    const placed = {
      ...sent,
      resource: {
        ...sent.resource,
        properties: {
          effect: 'egress',
          returns: LABELS,
          destination: 'ann@acme.test',
          target: 'hello',
        },
      },
    } as const;
    const record = (rules: ArgumentRules): JsonObject =>
      JSON.parse(lineOf(intent({}, { request: placed }), rules)) as JsonObject;

    it('whole when all of it was kept', () => {
      expect(recordedRequest(record({ '*': 'keep' }))).to.deep.equal({
        request: placed,
        missing: [],
        missingProperties: [],
      });
    });

    it('but for the arguments that were not kept, and what was taken from them', () => {
      expect(recordedRequest(record({ '*': { to: 'keep', n: 'redact' } }))).to.deep.equal({
        request: {
          ...placed,
          context: { ...placed.context, arguments: { to: 'ann@acme.test' } },
          resource: {
            ...placed.resource,
            properties: { effect: 'egress', returns: LABELS, destination: 'ann@acme.test' },
          },
        },
        missing: ['body', 'n'],
        missingProperties: ['target'],
      });
    });

    it('and nothing where nothing was asked', () => {
      expect(recordedRequest(recordOf(outcome()))).to.equal(undefined);
      expect(recordedRequest(recordOf(taskEnd()))).to.equal(undefined);
    });
  });

  it('is canonical JSON also in what was not an argument', () => {
    const asked = request({ q: 'acme' });
    const subject = { ...asked.subject, properties: { b: { d: 1, c: 2 }, a: [{ f: 1, e: null }] } };
    const decision = { ...DECISION, reasons: ['half \ud800 a pair', 'whole'] };
    const line = lineOf(intent({}, { request: { ...asked, subject }, decision }));
    expect(line.slice(0, -1)).to.equal(canonicalJson(JSON.parse(line) as JsonValue));
    expect(line).to.include('"properties":{"a":[{"e":null,"f":1}],"b":{"c":2,"d":1}}');
    expect(line).to.include('"half \ufffd a pair"');
  });

  it('tells of a label that would not have been lowered', () => {
    const wouldDeny = [{ reason: 'policy', message: 'no', policies: ['p3'] }] as const;
    const record = recordOf({ ...DECLASSIFY, evaluateOnly: true, wouldDeny });
    expect(record).to.include({
      action: 'Observed',
      disposition: 'Detected',
      status_code: 'policy',
    });
    expect(record.unmapped['would_deny']).to.deep.equal([{ policies: ['p3'], reason: 'policy' }]);
  });

  describe('is no longer than an entry may be', () => {
    const long = 'x'.repeat(70_000);

    it('and no digest of what is redacted, however long the rest is', () => {
      const rules: ArgumentRules = { '*': { '*': 'keep', pin: 'redact' } };
      const event = intent({ pin: '1234', text: 'x'.repeat(70_000) });
      expect(recordOf(event, rules).metadata).to.include({ is_truncated: true });
      expect(argumentsOf(event, rules)).to.deep.equal({
        pin: { redacted: true },
        text: { sha256: sha256(`"${'x'.repeat(70_000)}"`) },
      });
    });

    it('and holds digests for what is too long, and says so', () => {
      const record = recordOf(intent({ q: long }), { '*': 'keep' });
      expect(record.api.request.data.context.arguments).to.deep.equal({
        q: { sha256: sha256(`"${long}"`) },
      });
      expect(record.metadata).to.include({ is_truncated: true, untruncated_size: 71 });
      expect(recordOf(intent({ q: 'acme' }), { '*': 'keep' }).metadata).to.not.have.property(
        'is_truncated',
      );
    });

    it('and leaves out what tools are rather than what a task may do', () => {
      const toolDefinitions = { ab: { name: 'search', description: long } };
      const record = recordOf({ ...TASK_START, toolDefinitions });
      expect(record.metadata).to.include({ is_truncated: true });
      expect(record).to.deep.include({ unmapped: recordOf(TASK_START).unmapped });
      const short = { ab: { name: 'search', description: 'Searches.' } };
      expect(recordOf({ ...TASK_START, toolDefinitions: short }).unmapped['task']).to.deep.include({
        tool_definitions: short,
      });
    });

    it('at the very edge', () => {
      const room = 65_535 - (lineOf(intent({ q: '' }), { '*': 'keep' }).length - 1);
      const fits = lineOf(intent({ q: 'x'.repeat(room) }), { '*': 'keep' });
      expect(fits.length - 1).to.equal(65_535);
      expect(lineOf(intent({ q: 'x'.repeat(room + 1) }), { '*': 'keep' }).length).to.be.lessThan(
        5000,
      );
      // An umlaut takes two bytes.
      const wide = lineOf(intent({ q: 'ü'.repeat(room / 2 + 1) }), { '*': 'keep' });
      expect(Buffer.byteLength(wide)).to.be.lessThan(5000);
    });

    it('when there is no end to its names, its business or its message', () => {
      const many = Object.fromEntries(
        Array.from({ length: 2000 }, (_, at) => [`argument ${at}`, at]),
      );
      const events: readonly AuditEvent[] = [
        intent(many),
        { ...TASK_START, business: { essay: long } },
        taskEnd({ reason: long }),
        { ...TASK_START, task: { ...TASK, purpose: long } },
      ];
      for (const event of events) {
        const line = lineOf(event);
        expect(Buffer.byteLength(line)).to.be.at.most(65_536);
        expect(line.slice(0, -1)).to.equal(canonicalJson(JSON.parse(line) as JsonValue));
        expect(recordOf(event).metadata).to.include({ is_truncated: true });
      }
    });

    it('or is not written at all', () => {
      const call = { ...CALL, tool: long };
      expect(() => lineOf(outcome({ call }))).to.throw('ERR_SPIFFE_AUDIT_UNAVAILABLE');
    });
  });
});
