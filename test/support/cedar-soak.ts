/**
 * `npm run soak:cedar`: the calls of Cedar, half a million of them, on each line of Node that has an LTS; and as the package
 * offers them, which must abort where V8 is not mended, or nothing is shown.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('./cedar-calls.js', import.meta.url));
const COUNT = process.argv[2] ?? '500000';
const MENDED = 24;

for (const major of [20, 22, 24]) {
  const ours = run(major, 'ours', COUNT);
  const bare = run(major, 'bare', '15000');
  const expected = ours.status === 0 && (bare.status === 0) === major >= MENDED;
  if (!expected) process.exitCode = 1;
  console.log(
    `Node ${major}: ${ours.status === 0 ? ours.stdout.trim() : `ours ended with ${ours.status}: ${ours.stderr}`}; bare ${bare.status === 0 ? 'survived' : 'aborted'}${expected ? '' : ', which was not expected'}`,
  );
}

function run(
  major: number,
  how: string,
  count: string,
): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  const args = ['--yes', '--package', `node@${major}`, '--', 'node', program, how, count];
  return spawnSync('npx', args, { encoding: 'utf8' });
}
