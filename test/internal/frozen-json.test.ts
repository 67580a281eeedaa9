import { expect } from 'chai';
import { freezeJson, freezeJsonObject } from '#lib/internal/frozen-json.js';

function nest(levels: number): unknown {
  let value: unknown = 'core';
  for (let i = 0; i < levels; i++) value = [value];
  return value;
}

describe('frozen JSON', () => {
  it('is a copy that does not follow the original, and cannot be changed', () => {
    const original = { list: [1, { deep: 'x' }], left: undefined };
    const frozen = freezeJson(original) as unknown as typeof original;
    original.list.push(2);
    (original.list[1] as { deep: string }).deep = 'y';
    expect(frozen).to.deep.equal({ list: [1, { deep: 'x' }] });
    expect(Object.isFrozen(frozen)).to.equal(true);
    expect(Object.isFrozen(frozen.list)).to.equal(true);
    expect(Object.isFrozen(frozen.list[1])).to.equal(true);
  });

  it('reads each member once, so that an accessor cannot answer twice', () => {
    let asked = 0;
    const shifty = {
      get to() {
        asked += 1;
        return asked === 1 ? 'ann' : 'mallory';
      },
    };
    expect(freezeJson(shifty)).to.deep.equal({ to: 'ann' });
    expect(asked).to.equal(1);
  });

  it('takes an object without a prototype', () => {
    const bare = Object.assign(Object.create(null) as object, { a: 1 });
    expect(freezeJson(bare)).to.deep.equal({ a: 1 });
  });

  const cycle: Record<string, unknown> = {};
  cycle['self'] = cycle;
  for (const [name, value] of [
    ['a function', { f: () => 1 }],
    ['undefined in an array', [undefined]],
    // oxlint-disable-next-line no-sparse-arrays -- what is refused
    ['a hole in an array', [1, , 2]],
    ['a symbol', { s: Symbol('s') }],
    ['a BigInt', { n: 1n }],
    ['NaN', { n: Number.NaN }],
    ['infinity', [Number.POSITIVE_INFINITY]],
    ['a Date', { at: new Date(0) }],
    ['a Map', new Map()],
    ['bytes', { body: new Uint8Array(1) }],
    ['a promise', { later: Promise.resolve(1) }],
    ['an instance of a class', { x: new URL('https://x.example') }],
    ['boxed text', { x: Object('text') as unknown }],
    ['a lone surrogate', { x: '\ud800' }],
    ['a name with a lone surrogate', { '\udfff': 1 }],
    ['a member called __proto__', JSON.parse('{"a":{"__proto__":{"admin":true}}}')],
    ['a cycle', cycle],
  ] as const) {
    it(`refuses ${name}`, () => {
      expect(() => freezeJson(value)).to.throw(TypeError);
    });
  }

  it('takes what lies 100 levels deep, and nothing deeper', () => {
    expect(freezeJson(nest(101))).to.be.an('array');
    expect(() => freezeJson(nest(102))).to.throw(TypeError, 'deeper');
  });

  for (const value of [undefined, null, 'text', 1, [], () => 1]) {
    it(`refuses ${JSON.stringify(value) ?? typeof value} where an object is wanted`, () => {
      expect(() => freezeJsonObject(value)).to.throw(TypeError, 'no object');
    });
  }

  it('takes an object where an object is wanted', () => {
    expect(freezeJsonObject({})).to.deep.equal({});
  });
});
