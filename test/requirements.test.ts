import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const root = new URL('../', import.meta.url);
const CITED = /(?<![A-Z0-9-])(?:ID|X509|WLE|WLA|A)-\d\d/g;

/** Which requirements of docs/requirements.md a test must name, by their kind and the numbers from and to. */
const COVERED: readonly (readonly [kind: string, from: number, to: number])[] = [
  ['ID', 1, 26],
  ['X509', 1, 30],
  ['WLE', 7, 10],
];

/** The titles of all tests, as mocha finds them. */
function titles(): string[] {
  const mocha = fileURLToPath(import.meta.resolve('mocha/bin/mocha.js'));
  const output = execFileSync(process.execPath, [mocha, '--dry-run', '--reporter', 'json'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const { tests } = JSON.parse(output.slice(output.indexOf('{'))) as {
    readonly tests: readonly { readonly fullTitle: string }[];
  };
  return tests.map(({ fullTitle }) => fullTitle);
}

describe('the requirements', () => {
  const cited = new Set<string>();

  before(function (this: Mocha.Context) {
    this.timeout(60_000);
    for (const title of titles()) for (const id of title.match(CITED) ?? []) cited.add(id);
  });

  for (const [kind, from, to] of COVERED) {
    it(`${kind} from ${from} to ${to} are each named by a test`, () => {
      const wanted = Array.from(
        { length: to - from + 1 },
        (_, at) => `${kind}-${String(from + at).padStart(2, '0')}`,
      );
      expect(wanted.filter((id) => !cited.has(id))).to.deep.equal([]);
    });
  }

  it('are what the tests name, and nothing else is', () => {
    const text = readFileSync(new URL('docs/requirements.md', root), 'utf8');
    const known = new Set(text.match(/(?<=^- \*\*)[A-Z0-9]+-\d\d(?=\*\*)/gm));
    expect(known.size).to.be.above(100);
    expect([...cited].filter((id) => !known.has(id))).to.deep.equal([]);
  });
});
