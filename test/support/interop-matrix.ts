import { readFileSync, writeFileSync } from 'node:fs';

/** What others can do with us; the title is the head of its column. */
export const ABILITIES = {
  client: 'calls our `createServer`',
  fetch: 'answers our `createFetch`',
  agent: 'answers our `createAgent`',
  x509: 'reads X.509 from our development Workload API',
  jwt: 'reads JWT from our development Workload API',
  sends: 'sends a JWT-SVID that we verify',
  verifies: 'verifies a JWT-SVID that we send',
} as const;
export type Ability = keyof typeof ABILITIES;

const PEERS = ['go-spiffe', 'rust-spiffe', 'py-spiffe', 'spire-agent'] as const;
export type Peer = (typeof PEERS)[number];

interface Tally {
  declared: number;
  passed: number;
}
interface Difference extends Tally {
  readonly peer: Peer;
  readonly rule: string;
  readonly what: string;
}

const cells = new Map<string, Tally>();
const differences: Difference[] = [];
const versions = new Map<Peer, string>();

/** A test that shows an ability; the matrix says yes where every such test has passed. */
export function shows(peer: Peer, ability: Ability, title: string, run: Mocha.AsyncFunc): void {
  const key = `${peer} ${ability}`;
  const cell = cells.get(key) ?? { declared: 0, passed: 0 };
  cells.set(key, cell);
  counted(title, cell, run);
}

/**
 * A test that pins where a peer lets pass what the standard, or our reading of it, refuses.
 *
 * @param rule - the requirement that we keep and it does not.
 * @param what - what it lets pass.
 */
export function laxer(peer: Peer, rule: string, what: string, run: Mocha.AsyncFunc): void {
  const difference = { peer, rule, what, declared: 0, passed: 0 };
  differences.push(difference);
  counted(`${rule}: ${what}, which we refuse`, difference, run);
}

function counted(title: string, tally: Tally, run: Mocha.AsyncFunc): void {
  tally.declared++;
  it(title, async function () {
    await run.call(this);
    tally.passed++;
  });
}

/** Notes what a peer itself says it is. */
export function noteVersion(peer: Peer, version: string): void {
  versions.set(peer, version);
}

/** What two judges of the same documents differ in on purpose. */
export interface NotedDifference {
  readonly rule: string;
  readonly why: string;
  readonly stricter: 'we' | 'go' | 'neither';
}
let noted: readonly NotedDifference[] | undefined;

/** Notes that these, and no others, were met. */
export function noteDifferences(list: readonly NotedDifference[]): void {
  noted = list;
}

const PAGE = new URL('../../docs/interop.md', import.meta.url);

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows]
    .map((parts) => `| ${parts.join(' | ')} |`)
    .join('\n');
}

function matrix(): string {
  const abilities = Object.keys(ABILITIES) as Ability[];
  return table(
    ['', ...abilities.map((ability) => ABILITIES[ability])],
    PEERS.map((peer) => [
      `${peer} ${versions.get(peer) ?? ''}`,
      ...abilities.map((ability) => (cells.has(`${peer} ${ability}`) ? 'yes' : '–')),
    ]),
  );
}

function laxities(): string {
  return table(
    ['Requirement', 'Who', 'Lets pass what we refuse'],
    differences.map(({ rule, peer, what }) => [rule, peer, what]),
  );
}

function verdicts(): string {
  const who = { we: 'we', go: 'go-spiffe', neither: 'neither' };
  return table(
    ['Requirement', 'Who refuses', 'What'],
    (noted ?? []).map(({ rule, why, stricter }) => [rule, who[stricter], why]),
  );
}

/** The page with its tables as the tests have made them. */
function rewritten(page: string): string {
  const parts = { matrix: matrix(), laxer: laxities(), verdicts: verdicts() };
  return Object.entries(parts).reduce((text, [name, part]) => {
    const block = new RegExp(`(<!-- ${name} -->\n)[^]*?(<!-- /${name} -->)`);
    if (!block.test(text)) throw new Error(`docs/interop.md has no place for "${name}"`);
    return text.replace(block, (_, open: string, close: string) => `${open}${part}\n${close}`);
  }, page);
}

// A hook of the root: when it runs, every test has. It has no say where tests were left out, by choice or for want of
// a program.
after('docs/interop.md says what the interop tests have shown', () => {
  const tallies = [...cells.values(), ...differences];
  if (
    versions.size < PEERS.length ||
    noted === undefined ||
    tallies.some(({ declared, passed }) => passed < declared)
  )
    return;
  const page = readFileSync(PAGE, 'utf8');
  const now = rewritten(page);
  if (now === page) return;
  if (!process.env['INTEROP_WRITE'])
    throw new Error('docs/interop.md is out of date: run `npm run interop:matrix`');
  writeFileSync(PAGE, now);
});
