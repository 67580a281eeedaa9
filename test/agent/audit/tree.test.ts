import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { leafHash, leafHashWithin, MerkleTree } from '#lib/agent/audit/tree.js';

const hexOf = (hash: string): string => Buffer.from(hash, 'latin1').toString('hex');
const hex = (text: string): Buffer => Buffer.from(text, 'hex');

/** The inputs and roots by which Certificate Transparency's own implementations are tested. */
const INPUTS = [
  '',
  '00',
  '10',
  '2021',
  '3031',
  '40414243',
  '5051525354555657',
  '606162636465666768696a6b6c6d6e6f',
].map(hex);
const LEAVES = [
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
  '0298d122906dcfc10892cb53a73992fc5b9f493ea4c9badb27b791b4127a7fe7',
  '07506a85fd9dd2f120eb694f86011e5bb4662e5c415a62917033d4a9624487e7',
  'bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b',
  '4271a26be0d8a84f0bd54c8c302e7cb3a3b5d1fa6780a40bcce2873477dab658',
  'b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f',
  '46f6ffadd3d06a09ff3c5860d2755c8b9819db7df44251788c7d8e3180de8eb1',
];
const ROOTS = [
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

const sha256 = (...parts: readonly Uint8Array[]): Buffer =>
  createHash('sha256').update(Buffer.concat(parts)).digest();

/** RFC 6962 §2.1, word for word. */
export function treeHash(entries: readonly Uint8Array[]): Buffer {
  if (entries.length === 0) return sha256();
  if (entries.length === 1) return sha256(Buffer.of(0), entries[0] as Uint8Array);
  let k = 1;
  while (k * 2 < entries.length) k *= 2;
  return sha256(Buffer.of(1), treeHash(entries.slice(0, k)), treeHash(entries.slice(k)));
}

describe('the tree of an audit log', () => {
  it('has the leaf hashes of Certificate Transparency', () => {
    expect(INPUTS.map((input) => hexOf(leafHash(input)))).to.deep.equal(LEAVES);
  });

  it('has the roots of Certificate Transparency at each size', () => {
    const tree = new MerkleTree();
    const roots = [tree.root()];
    for (const input of INPUTS) {
      tree.append(leafHash(input));
      roots.push(tree.root());
    }
    expect(roots.map(hexOf)).to.deep.equal(ROOTS);
    expect(tree.size).to.equal(8);
  });

  it('has the root of the standard at every size up to 200', () => {
    const entries = Array.from({ length: 200 }, (_, at) => Buffer.from(`entry ${at}`));
    const tree = new MerkleTree();
    for (const [at, entry] of entries.entries()) {
      tree.append(leafHash(entry));
      expect(hexOf(tree.root()), `size ${at + 1}`).to.equal(
        treeHash(entries.slice(0, at + 1)).toString('hex'),
      );
    }
  });

  it('hashes an entry where it lies, and leaves all as it was', () => {
    const buffer = Buffer.from('abc\ndef\nghi\n');
    expect(leafHashWithin(buffer, 4, 7)).to.equal(leafHash(Buffer.from('def')));
    expect(buffer.toString()).to.equal('abc\ndef\nghi\n');
  });

  it('grows by itself once cloned', () => {
    const tree = new MerkleTree();
    for (const input of INPUTS.slice(0, 5)) tree.append(leafHash(input));
    const clone = tree.clone();
    for (const input of INPUTS.slice(5)) clone.append(leafHash(input));
    expect(hexOf(tree.root())).to.equal(ROOTS[5]);
    expect(hexOf(clone.root())).to.equal(ROOTS[8]);
  });
});
