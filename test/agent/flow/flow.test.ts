import type { Confidentiality, Labels } from 'agent-spiffe/agent';
import { expect } from 'chai';
import { type ToolAnnotations, tighten } from '#lib/agent/flow/annotations.js';
import { Flow } from '#lib/agent/flow/flow.js';
import { sinkProblem } from '#lib/agent/flow/sink.js';

const labels = (
  confidentiality: Confidentiality,
  integrity: Labels['integrity'] = 'trusted',
): Labels => ({
  confidentiality,
  integrity,
});
const LEVELS: readonly Confidentiality[] = ['public', 'internal', 'confidential', 'restricted'];

describe('flow labels', () => {
  it('rise when a read begins, and stay when it has ended', () => {
    const flow = new Flow(labels('public'));
    flow.raise(labels('confidential', 'untrusted'));
    expect(flow.labels).to.deep.equal(labels('confidential', 'untrusted'));
    flow.settle(labels('confidential', 'untrusted'));
    flow.raise(labels('internal'));
    flow.settle(labels('internal'));
    expect(flow.labels).to.deep.equal(labels('confidential', 'untrusted'));
  });

  it('fall back when a read was refused, and only as far as the others allow', () => {
    const flow = new Flow(labels('internal'));
    flow.raise(labels('restricted', 'untrusted'));
    flow.raise(labels('confidential'));
    flow.raise(labels('restricted'));
    flow.release(labels('restricted', 'untrusted'));
    expect(flow.labels).to.deep.equal(labels('restricted'));
    flow.release(labels('restricted'));
    expect(flow.labels).to.deep.equal(labels('confidential'));
    flow.release(labels('confidential'));
    expect(flow.labels).to.deep.equal(labels('internal'));
  });

  it('leave out what one call itself is reading, and nothing that another reads', () => {
    const own = labels('restricted', 'untrusted');
    const flow = new Flow(labels('public'));
    flow.raise(own);
    expect(flow.labelsBeside(own)).to.deep.equal(labels('public'));
    flow.raise(own);
    expect(flow.labelsBeside(own)).to.deep.equal(own);
  });

  it('are lowered for what was read when it was asked for, and not for what came since', () => {
    const flow = new Flow(labels('restricted', 'untrusted'));
    const mark = flow.mark();
    flow.raise(labels('confidential', 'untrusted'));
    flow.settle(labels('confidential', 'untrusted'));
    flow.raise(labels('internal'));
    flow.lower(labels('public'), mark);
    expect(flow.labels).to.deep.equal(labels('confidential', 'untrusted'));
    flow.lower(labels('public'), flow.mark());
    expect(flow.labels).to.deep.equal(labels('internal'));
    flow.settle(labels('internal'));
    flow.lower(labels('public'), flow.mark());
    expect(flow.labels).to.deep.equal(labels('public'));
  });

  it('are never raised by lowering', () => {
    const flow = new Flow(labels('public'));
    flow.lower(labels('restricted', 'untrusted'), flow.mark());
    expect(flow.labels).to.deep.equal(labels('public'));
  });
});

describe('a sink', () => {
  for (const holds of LEVELS) {
    for (const clearance of LEVELS) {
      for (const integrity of ['trusted', 'untrusted'] as const) {
        for (const outside of [true, false]) {
          const above = LEVELS.indexOf(holds) > LEVELS.indexOf(clearance);
          const steered = outside && integrity === 'untrusted' && holds !== 'public';
          const verb = above || steered ? 'refuses' : 'takes';
          it(`${outside ? 'outside' : 'inside'} for ${clearance} data ${verb} what an ${integrity} task sends that holds ${holds} data`, () => {
            const problem = sinkProblem({ clearance, outside }, labels(holds, integrity));
            expect(problem !== undefined).to.equal(above || steered);
          });
        }
      }
    }
  }
});

describe('what a tool says of itself', () => {
  const flow = {
    returns: labels('internal'),
    sink: { clearance: 'internal', outside: false },
  } as const;

  for (const [name, hints, expected] of [
    [
      'an open world makes its result untrusted and its sink lie outside',
      { openWorldHint: true },
      { returns: labels('internal', 'untrusted'), sink: { clearance: 'internal', outside: true } },
    ],
    [
      'a sensitive result is confidential',
      { sensitiveHint: true },
      { ...flow, returns: labels('confidential') },
    ],
    [
      'a private result is confidential',
      { privateHint: true },
      { ...flow, returns: labels('confidential') },
    ],
    ['a destructive write is the write that it was', { destructiveHint: true }, flow],
  ] as const) {
    it(`tightens: ${name}`, () => {
      expect(tighten(flow, 'write', hints)).to.deep.equal(expected);
    });
  }

  for (const hints of [{ readOnlyHint: false }, { destructiveHint: true }]) {
    it(`makes the strictest sink of a read with ${JSON.stringify(hints)}`, () => {
      expect(tighten({ returns: labels('public') }, 'read', hints)).to.deep.equal({
        returns: labels('public'),
        sink: { clearance: 'public', outside: true },
      });
    });
  }

  const strict = {
    returns: labels('restricted', 'untrusted'),
    sink: { clearance: 'public', outside: true },
  } as const;
  const soothing: readonly ToolAnnotations[] = [
    { readOnlyHint: true },
    { destructiveHint: false },
    { idempotentHint: true },
    { openWorldHint: false },
    { sensitiveHint: false },
    { privateHint: false },
    { trusted: true, confidentiality: 'public', sink: null },
    { openWorldHint: 'false', sensitiveHint: 0 } as unknown as ToolAnnotations,
  ];
  for (const hints of soothing) {
    it(`never loosens: ${JSON.stringify(hints)}`, () => {
      for (const effect of ['read', 'write', 'egress', 'privilege'] as const)
        expect(tighten(strict, effect, hints)).to.deep.equal(strict);
    });
  }
});
