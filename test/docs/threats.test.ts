import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const root = fileURLToPath(new URL('../..', import.meta.url));
const mocha = createRequire(import.meta.url).resolve('mocha/bin/mocha.js');
const page = readFileSync(`${root}/docs/threats.md`, 'utf8');
/** A link to a test: its words are the title, with that of its suite where it says little by itself. */
const LINK = /\[([^\]]+)\]\(\.\.\/(test\/[^)]+)\.ts\)/g;
const links = [...page.matchAll(LINK)].map(([, title = '', file = '']) => ({ title, file }));

interface Listed {
  readonly tests: readonly { readonly fullTitle: string; readonly file: string }[];
}

describe('docs/threats.md', () => {
  let listed: Listed['tests'];

  // The titles as they are when the tests run, with what is filled in.
  before(function () {
    this.timeout(60_000);
    const files = [...new Set(links.map(({ file }) => `dist-${file}.js`))];
    const options = ['--no-package', '--no-config', '--dry-run', '--reporter', 'json'];
    const { stdout, stderr } = spawnSync(process.execPath, [mocha, ...options, ...files], {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 64 << 20,
    });
    expect(stdout, stderr).to.match(/^\{/);
    listed = (JSON.parse(stdout) as Listed).tests;
  });

  for (const { title, file } of links) {
    it(`names a test that exists: ${title}`, () => {
      const found = listed.filter((test) => test.file.endsWith(`dist-${file}.js`));
      expect(found.some((test) => test.fullTitle.endsWith(` ${title}`))).to.equal(true);
    });
  }

  it('has each entry of the two lists of OWASP, in order, with a test that attacks it', () => {
    const numbers = Array.from({ length: 10 }, (_, at) => at + 1);
    const agentic = page.split(/^##+ (?=ASI)/m).slice(1);
    expect(agentic.map((section) => section.slice(0, 5))).to.deep.equal(
      numbers.map((number) => `ASI${String(number).padStart(2, '0')}`),
    );
    const identities = page.split('\n').filter((line) => line.startsWith('| **NHI'));
    expect(identities.map((line) => line.split('**')[1])).to.deep.equal(
      numbers.map((number) => `NHI${number}`),
    );
    for (const entry of [...agentic, ...identities]) expect(entry).to.include('](../test/');
    for (const section of agentic) expect(section).to.include('**Not covered:**');
  });
});
