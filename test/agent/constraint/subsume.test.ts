import { expect } from 'chai';
import * as fc from 'fast-check';
import { Constraint, check } from '#lib/agent/constraint/constraint.js';
import { foreignProblem } from '#lib/agent/constraint/foreign.js';
import { subsumes } from '#lib/agent/constraint/subsume.js';
import type { JsonRecord, JsonValue } from '#lib/internal/json.js';

const scalar = fc.constantFrom<JsonValue>(0, 1, 2, 3, '1', 'a', true, false, null);
const value = fc.oneof(scalar, fc.array(scalar, { maxLength: 3 }));
const list = (minLength: number): fc.Arbitrary<readonly JsonValue[]> =>
  fc.array(value, { minLength, maxLength: 3 });
const bounds = fc
  .record(
    { min: fc.nat(3), max: fc.nat(3), min_inclusive: fc.boolean(), max_inclusive: fc.boolean() },
    { requiredKeys: [] },
  )
  .map((members) => ({ constraint_type: 'range', ...members }));
const { constraint } = fc.letrec<{ constraint: JsonRecord }>((tie) => ({
  constraint: fc.oneof(
    { maxDepth: 2 },
    scalar.map((one) => ({ constraint_type: 'exact', value: one })),
    bounds,
    list(1).map((values) => ({ constraint_type: 'one_of', values })),
    list(0).map((excluded) => ({ constraint_type: 'not_one_of', excluded })),
    list(0).map((required) => ({ constraint_type: 'contains', required })),
    list(0).map((allowed) => ({ constraint_type: 'subset', allowed })),
    fc.constant({ constraint_type: 'wildcard' }),
    fc
      .tuple(
        fc.constantFrom('all', 'any'),
        fc.array(tie('constraint'), { minLength: 1, maxLength: 3 }),
      )
      .map(([type, constraints]) => ({ constraint_type: type, constraints })),
  ),
}));
const wellFormed = constraint.filter((json) => foreignProblem(json) === undefined);

describe('a constraint that is above another', () => {
  it('accepts whatever that accepts', function () {
    this.timeout(30_000);
    let held = 0;
    fc.assert(
      fc.property(
        wellFormed,
        wellFormed,
        fc.array(value, { maxLength: 20 }),
        (parent, child, values) => {
          if (!subsumes(parent, child)) return;
          held += 1;
          const [above, below] = [Constraint.parse(parent), Constraint.parse(child)];
          for (const each of values) {
            if (check(below, each)) expect(check(above, each)).to.equal(true);
          }
        },
      ),
      { numRuns: 4000 },
    );
    expect(held).to.be.greaterThan(100);
  });

  it('is above itself', () => {
    fc.assert(fc.property(wellFormed, (json) => subsumes(json, json)));
  });

  it('is well-formed for a token exactly when it is in this process, local types aside', () => {
    fc.assert(
      fc.property(constraint, (json) => {
        const here = (): unknown => Constraint.parse(json);
        if (foreignProblem(json) === undefined) here();
        else expect(here).to.throw();
      }),
    );
    const local = { constraint_type: 'path_under', base: '/srv' };
    Constraint.parse(local);
    expect(foreignProblem(local)).to.include('no token carries path_under');
    expect(foreignProblem({ constraint_type: 'any', constraints: [local] })).to.be.a('string');
  });
});
