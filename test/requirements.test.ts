import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const root = new URL('../', import.meta.url);
const CITED = /(?<![A-Z0-9-])(?:ID|X509|JWT|WLE|WLA|A)-\d\d/g;

/** Which requirements of docs/requirements.md a test must name, by their kind and the numbers from and to. */
const COVERED: readonly (readonly [kind: string, from: number, to: number])[] = [
  ['ID', 1, 26],
  ['X509', 1, 30],
  ['JWT', 1, 26],
  ['WLE', 7, 10],
  ['WLA', 1, 50],
];

/** What no test can name yet, and why; the rest of those above is named whosoever it binds. */
const NOT_YET: ReadonlySet<string> = new Set([
  // WIT-SVIDs, which are not asked for.
  'WLA-41',
  'WLA-42',
  'WLA-43',
  'WLA-44',
  'WLA-45',
  // Of issuers, and a MAY: jitter of updates.
  'WLA-07',
]);

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
      const missing = wanted.filter((id) => !cited.has(id));
      expect(missing.filter((id) => !NOT_YET.has(id))).to.deep.equal([]);
    });
  }

  it('are not excused once a test names them', () => {
    expect([...NOT_YET].filter((id) => cited.has(id))).to.deep.equal([]);
  });

  it('are what the tests name, and nothing else is', () => {
    const text = readFileSync(new URL('docs/requirements.md', root), 'utf8');
    const known = new Set(text.match(/(?<=^- \*\*)[A-Z0-9]+-\d\d(?=\*\*)/gm));
    expect(known.size).to.be.above(100);
    expect([...cited].filter((id) => !known.has(id))).to.deep.equal([]);
  });
});
