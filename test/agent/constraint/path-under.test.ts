import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { check, pathUnder } from 'agent-spiffe/agent';
import { expect } from 'chai';
import { refusal } from '../../support/refusal.js';

describe('pathUnder', () => {
  let root: string;
  let base: string;

  beforeEach(() => {
    root = mkdtempSync(join(realpathSync(tmpdir()), 'under-'));
    base = join(root, 'data');
    mkdirSync(join(base, 'inner'), { recursive: true });
    mkdirSync(join(root, 'outside'));
    mkdirSync(join(root, 'database'));
    writeFileSync(join(base, 'inner', 'a.txt'), '');
    writeFileSync(join(root, 'outside', 'secret'), '');
  });
  afterEach(() => {
    rmSync(root, { recursive: true });
  });

  for (const path of [
    '',
    '/',
    '/inner',
    '/inner/',
    '/inner/a.txt',
    '/inner/new',
    '/a/b/c/new',
    '/100%',
    '/...',
    '/.x',
    '/a%20b',
  ]) {
    it(`takes data${path}`, () => {
      expect(check(pathUnder(base), `${base}${path}`)).to.equal(true);
    });
  }

  for (const [trick, path] of [
    ['dots', '/../outside/secret'],
    ['dots that come back', '/inner/../inner/a.txt'],
    ['one dot', '/./inner/a.txt'],
    ['dots at the end', '/inner/..'],
    ['an empty segment', '/inner//a.txt'],
    ['a NUL', '/inner/a.txt\0.png'],
    ['a backslash', '/..\\outside\\secret'],
    ['encoded dots', '/%2e%2e/outside/secret'],
    ['half encoded dots', '/.%2E/outside/secret'],
    ['dots encoded twice', '/%252e%252e/outside/secret'],
    ['an encoded slash', '/..%2foutside/secret'],
    ['an encoded backslash', '/a%5c..'],
    ['an encoded NUL', '/a%00b'],
    ['a file taken for a directory', '/inner/a.txt/x'],
    ['a name longer than any', `/${'x'.repeat(300)}`],
  ] as const) {
    it(`refuses ${trick}`, () => {
      expect(check(pathUnder(base), `${base}${path}`)).to.equal(false);
    });
  }

  it('refuses what lies beside or above, and what begins alike', () => {
    for (const path of [
      root,
      join(root, 'outside'),
      join(root, 'database'),
      `${base}base`,
      '/',
      '/etc/passwd',
    ])
      expect(check(pathUnder(base), path), path).to.equal(false);
  });

  it('refuses paths that are relative, of Windows, or no text', () => {
    for (const path of [
      '',
      'inner/a.txt',
      './inner',
      '~/data',
      'C:\\data\\a',
      'C:/data',
      '\\\\host\\share',
      '\\\\?\\C:\\data',
      'file:///data',
    ])
      expect(check(pathUnder('/'), path), path).to.equal(false);
    for (const value of [null, 1, ['/data'], { path: '/data' }])
      expect(check(pathUnder('/'), value)).to.equal(false);
    expect(check(pathUnder('/'), '/etc/passwd')).to.equal(true);
  });

  it('follows links: those that stay below are fine, those that lead out are not', () => {
    symlinkSync(join(base, 'inner'), join(base, 'within'));
    symlinkSync(join(root, 'outside'), join(base, 'away'));
    symlinkSync('../outside/secret', join(base, 'relative'));
    const under = pathUnder(base);
    expect(check(under, `${base}/within/a.txt`)).to.equal(true);
    expect(check(under, `${base}/within/new`)).to.equal(true);
    expect(check(under, `${base}/away`)).to.equal(false);
    expect(check(under, `${base}/away/secret`)).to.equal(false);
    expect(check(under, `${base}/away/new`)).to.equal(false);
    expect(check(under, `${base}/relative`)).to.equal(false);
  });

  it('refuses a link that leads nowhere yet, since writing through it would create a file outside', () => {
    symlinkSync(join(root, 'outside', 'new'), join(base, 'dangling'));
    expect(check(pathUnder(base), `${base}/dangling`)).to.equal(false);
    expect(check(pathUnder(base), `${base}/dangling/x`)).to.equal(false);
  });

  it('refuses a link that leads to itself', () => {
    symlinkSync(join(base, 'loop'), join(base, 'loop'));
    expect(check(pathUnder(base), `${base}/loop`)).to.equal(false);
  });

  it('takes a base that is itself a link, or that does not exist yet', () => {
    symlinkSync(base, join(root, 'link'));
    expect(check(pathUnder(join(root, 'link')), `${root}/link/inner/a.txt`)).to.equal(true);
    expect(check(pathUnder(join(root, 'link')), `${base}/inner/a.txt`)).to.equal(false);
    expect(check(pathUnder(join(root, 'later')), `${root}/later/x`)).to.equal(true);
  });

  it('looks at the links that are there at the time of the call', () => {
    const under = pathUnder(base);
    expect(check(under, `${base}/later/x`)).to.equal(true);
    symlinkSync(join(root, 'outside'), join(base, 'later'));
    expect(check(under, `${base}/later/x`)).to.equal(false);
  });

  for (const bad of [
    '',
    'data',
    './data',
    '/data/../etc',
    '/data//x',
    '/data\0',
    'C:\\data',
    '/%2e%2e/x',
  ]) {
    it(`refuses ${JSON.stringify(bad)} as a base`, () => {
      refusal('ERR_SPIFFE_OPTION_INVALID', 'base', () => pathUnder(bad));
    });
  }
});
