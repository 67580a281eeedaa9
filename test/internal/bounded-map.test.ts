import { expect } from 'chai';
import { BoundedMap } from '#lib/internal/bounded-map.js';

describe('a bounded map', () => {
  it('holds no more than told; what was not asked for the longest goes first', () => {
    const map = new BoundedMap<string, number>(3);
    for (const [at, key] of ['a', 'b', 'c'].entries()) map.set(key, at);
    expect(map.get('a')).to.equal(0);
    map.set('b', 9);
    map.set('d', 3);
    expect(map.size).to.equal(3);
    expect(['a', 'b', 'c', 'd'].map((key) => map.get(key))).to.deep.equal([0, 9, undefined, 3]);
  });

  it('can be looked into without a use', () => {
    const map = new BoundedMap<string, number>(2);
    map.set('a', 1);
    map.set('b', 2);
    expect(map.peek('a')).to.equal(1);
    map.set('c', 3);
    expect(map.peek('a')).to.equal(undefined);
  });

  it('drops one, or those that are told', () => {
    const map = new BoundedMap<string, number>(5);
    for (const [at, key] of ['a', 'b', 'c', 'd'].entries()) map.set(key, at);
    map.delete('a');
    map.drop((value) => value % 2 === 1);
    expect(map.size).to.equal(1);
    expect(map.get('c')).to.equal(2);
  });
});
