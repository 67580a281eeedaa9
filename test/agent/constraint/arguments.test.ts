import {
  type ArgumentConstraints,
  allArguments,
  exact,
  type JsonRecord,
  oneOf,
  optional,
  range,
  wildcard,
} from 'agent-spiffe/agent';
import { expect } from 'chai';
import { ArgumentRules } from '#lib/agent/constraint/arguments.js';
import { refusal } from '../../support/refusal.js';

const problem = (map: ArgumentConstraints, args: JsonRecord): string | undefined =>
  ArgumentRules.parse('tool', map).problem(args);

describe('constraints on arguments', () => {
  it('refuse an argument that they do not name (AAT 3.3: closed world)', () => {
    const map = { q: wildcard() };
    expect(problem(map, { q: 1 })).to.equal(undefined);
    expect(problem(map, { q: 1, limit: 2 })).to.include('no argument "limit"');
    expect(problem(map, JSON.parse('{"q":1,"constructor":2}') as JsonRecord)).to.include(
      'constructor',
    );
  });

  it('refuse a call without an argument that they name, unless it is optional', () => {
    const map = { q: wildcard(), limit: optional(range({ max: 10 })) };
    expect(problem(map, { q: 1 })).to.equal(undefined);
    expect(problem(map, { q: 1, limit: 10 })).to.equal(undefined);
    expect(problem(map, { q: 1, limit: 11 })).to.include('"limit"');
    expect(problem(map, { limit: 10 })).to.include('"q" is missing');
    expect(problem({ toString: wildcard() }, {})).to.include('"toString" is missing');
  });

  it('take any other argument where * says so, and hold those with a name to their own', () => {
    const map = { to: oneOf('ann'), '*': wildcard() };
    expect(problem(map, { to: 'ann', cc: 'x', bcc: 'y' })).to.equal(undefined);
    expect(problem(map, { to: 'bob', cc: 'x' })).to.include('"to"');
    expect(problem(map, { cc: 'x' })).to.include('"to" is missing');
  });

  it('count an argument that is called * as one without a name', () => {
    expect(problem({ a: wildcard() }, { a: 1, '*': 2 })).to.include('no argument "*"');
    expect(problem({ a: wildcard(), '*': wildcard() }, { a: 1, '*': 2 })).to.equal(undefined);
  });

  it('take anything by allArguments(), and nothing by an empty map', () => {
    expect(problem(allArguments(), {})).to.equal(undefined);
    expect(problem(allArguments(), { a: 1 })).to.equal(undefined);
    refusal('ERR_SPIFFE_OPTION_INVALID', 'allArguments()', () => ArgumentRules.parse('tool', {}));
  });

  it('never repeat a value, which may be what must not be written down', () => {
    expect(problem({ key: exact('a') }, { key: 'hunter2' })).not.to.include('hunter2');
  });

  for (const [name, map] of [
    ['* with another constraint', { '*': exact(1) }],
    ['* that is optional', { '*': optional(wildcard()) }],
    ['a value in place of a constraint', { to: 'ann' }],
    ['the JSON of a constraint', { to: { constraint_type: 'wildcard' } }],
    ['an array', [wildcard()]],
    ['null', null],
  ] as const) {
    it(`refuse ${name}`, () => {
      refusal('ERR_SPIFFE_OPTION_INVALID', 'arguments of "tool"', () =>
        ArgumentRules.parse('tool', map as unknown as ArgumentConstraints),
      );
    });
  }

  it('write themselves as in a token', () => {
    const rules = ArgumentRules.parse('tool', { a: exact(1), '*': wildcard() });
    expect(rules.toJSON()).to.deep.equal({
      a: { constraint_type: 'exact', value: 1 },
      '*': { constraint_type: 'wildcard' },
    });
  });
});
