import { isAuthorized } from '@cedar-policy/cedar-wasm/nodejs';
import type { DecisionRequest, JsonRecord } from 'agent-spiffe/agent';
import { expect } from 'chai';
import { cedarPolicyWith } from '#lib/agent/policy/cedar.js';
import type { Read } from '#lib/agent/policy/cedar-reads.js';
import { cedarCall, type Slice, sliceOf } from '#lib/agent/policy/cedar-request.js';
import { modelOf } from '#lib/agent/policy/cedar-schema.js';
import { AGENT } from '../support.js';

const TEXT = { type: 'string' } as const;
const PERSON = {
  type: 'object',
  properties: { owner: TEXT, team: TEXT },
  required: ['owner'],
} as const;
const TOOL = {
  name: 'send',
  inputSchema: {
    type: 'object',
    properties: {
      to: TEXT,
      count: { type: 'integer' },
      tags: { type: 'array', items: { type: 'string' } },
      from: PERSON,
      twin: PERSON,
      copy: { type: 'object', properties: { owner: TEXT }, required: ['owner'] },
    },
    required: ['to', 'from', 'twin', 'copy'],
  },
} as const;
const LABELS = { confidentiality: 'internal', integrity: 'untrusted' } as const;

function request(args: JsonRecord, id = AGENT): DecisionRequest {
  const time = '2026-11-24T12:00:00.000Z';
  return {
    subject: { type: 'workload', id },
    action: { name: 'tools/call' },
    resource: {
      type: 'tool',
      id: 'send',
      properties: { effect: 'egress', target: 'x', returns: LABELS },
    },
    context: {
      task: { id: 't', purpose: 'p', startedAt: time, expiresAt: time, clearance: 'internal' },
      arguments: args,
      chain: ['look'],
      labels: LABELS,
      budget: { callsLeft: 3 },
      time,
      business: {},
    },
  };
}

const ME = { owner: 'me', team: 'a' };
const REQUESTS = [
  request({ to: 'a', from: ME, twin: ME, copy: ME }),
  request({
    to: 'b',
    count: 3,
    tags: ['x'],
    from: { owner: 'you' },
    twin: ME,
    copy: { owner: 'you' },
  }),
  request(
    {
      to: 'me',
      count: 2,
      tags: [],
      from: { owner: 'me' },
      twin: { owner: 'me' },
      copy: { owner: 'me' },
    },
    'spiffe://example.org/other',
  ),
];

const CONDITIONS = [
  'true',
  'context.arguments.to == "a"',
  'context.arguments.to == context.arguments.from.owner',
  'context.arguments has count && context.arguments.count < 3',
  'context.arguments has from.team && context.arguments.from.team == "a"',
  'context.arguments.from == context.arguments.twin',
  'context.arguments.copy == {owner: "me"}',
  'context.arguments.from has team',
  '(if context.arguments.to == "a" then context.arguments.from else context.arguments.twin).owner == "me"',
  '{a: context.arguments.from}.a.owner == "me"',
  '[context.arguments.copy].contains({owner: "you"})',
  '[context.arguments.to, context.task.id].contains("a")',
  'context.arguments has tags && context.arguments.tags.containsAny(["x", "y"])',
  'context.arguments has tags && context.arguments.tags.isEmpty()',
  'context["arguments"]["to"] like "a*"',
  'context.time < datetime("2026-11-24T12:00:01Z") && context.chain.contains("look")',
  'context.time.offset(duration("1m")) > context.task.startedAt',
  '-context.budget.callsLeft < 0 && context.labels.level + 1 == 2',
  'principal.path == "/agents/researcher"',
  `Workload::"${AGENT}".path == "/agents/researcher"`,
  `(if context.arguments.to == "a" then principal else Workload::"${AGENT}").trustDomain == "example.org"`,
  'resource.returns.level == 1 && resource has target && resource.target == "x"',
  'resource.returns == {confidentiality: "internal", integrity: "untrusted", level: 1}',
  'resource has sink',
  'Tool::"send".effect == "egress"',
  'resource is Tool && principal is Workload && action in Action::"tools/call"',
  'resource in [Tool::"send", Tool::"look"] && principal in Workload::"x"',
  'context == context',
  'context.arguments has count && context.arguments.count + 9223372036854775805 > 0',
];

describe('what is shown to Cedar', () => {
  const model = modelOf([TOOL], undefined);
  const whole: Slice = sliceOf(model, 'send', 'none', {
    principal: 'all',
    resource: 'all',
    context: 'all',
  });

  for (const condition of CONDITIONS) {
    it(`suffices for ${condition}`, async () => {
      for (const kind of ['when', 'unless']) {
        const text = `permit(principal, action == Action::"send", resource) ${kind} { ${condition} };`;
        const engine = cedarPolicyWith({ policies: { p: text } }, {});
        await engine.prepare([TOOL]);
        for (const each of REQUESTS) {
          const { preparsedPolicySetId: _, ...call } = cedarCall(each, whole);
          const answer = isAuthorized({ ...call, policies: { staticPolicies: { p: text } } });
          if (answer.type === 'failure') throw new Error(JSON.stringify(answer.errors));
          const { decision, diagnostics } = answer.response;
          const expected = decision === 'allow' && diagnostics.errors.length === 0;
          expect(engine.decide(each)).to.include({ decision: expected });
        }
        await engine.close();
      }
    });
  }

  it('is no more than the policies of the action read, and is held against its schema all the same', async () => {
    const engine = cedarPolicyWith(
      {
        policies: {
          p: 'permit(principal, action == Action::"send", resource) when { context.arguments.to == "a" };',
        },
      },
      {},
    );
    await engine.prepare([TOOL]);
    const args = { to: 'a', from: ME, twin: ME, copy: ME };
    expect(engine.decide(request(args))).to.include({ decision: true });
    for (const wrong of [{ count: 'three' }, { from: 'me' }, { copy: {} }, { tags: [1] }])
      expect(engine.decide(request({ ...args, ...wrong }))).to.include({ decision: false });
    const none: Read = new Map();
    const context: Read = new Map([['arguments', new Map([['to', 'all' as const]])]]);
    const slice = sliceOf(model, 'send', 'n', { principal: none, resource: none, context });
    const { context: shown, entities } = cedarCall(request(args), slice);
    expect(shown).to.deep.equal({ arguments: { to: 'a' } });
    expect(entities.map(({ uid }) => uid)).to.deep.equal([{ type: 'Action', id: 'send' }]);
    await engine.close();
  });
});
