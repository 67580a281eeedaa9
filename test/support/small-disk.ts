import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What may let a process mount a file system that nobody else sees. */
const WAYS: readonly (readonly string[])[] = [
  ['unshare', '--mount'],
  ['unshare', '--mount', '--map-root-user'],
  ['sudo', '-n', 'unshare', '--mount'],
];
const HOW = 'it takes Linux, and root, user namespaces or sudo without a password';
const ON_DISK = 'mount -t tmpfs -o size="$1" tmpfs "$2" && exec "$3" "$4" "$2"';

function run(
  way: readonly string[],
  size: string,
  ...command: readonly string[]
): string | undefined {
  const disk = mkdtempSync(join(tmpdir(), 'disk-'));
  try {
    const [program = '', ...args] = [...way, 'sh', '-c', ON_DISK, 'sh', size, disk, ...command];
    const { status, stdout } = spawnSync(program, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', command.length > 1 ? 'inherit' : 'ignore'],
    });
    return status === 0 ? stdout : undefined;
  } finally {
    rmSync(disk, { recursive: true });
  }
}

let found: { readonly way: readonly string[] | undefined } | undefined;

/** The first way that works on this machine; looked for once. */
function findWay(): readonly string[] | undefined {
  found ??= { way: WAYS.find((way) => run(way, '1m', 'true') !== undefined) };
  return found.way;
}

/** Runs a program with the path of a disk of this size, which is gone when it ends; gives what it printed. */
export function onSmallDisk(size: string, program: string): string {
  const printed = run(findWay() ?? [], size, process.execPath, program);
  if (printed === undefined) throw new Error(`${program} failed`);
  return printed;
}

/** A suite that needs a small disk. Where none can be had it is pending and says so; on CI that is a failure. */
export function describeOnSmallDisk(title: string, suite: () => void): void {
  if (findWay() !== undefined) {
    describe(title, suite);
  } else if (process.env['CI']) {
    describe(title, () => {
      it('has a small disk to run on', () => {
        throw new Error(`no small disk can be mounted: ${HOW}`);
      });
    });
  } else {
    process.once('exit', () =>
      console.error(`Left out, for want of a small disk: ${title}; ${HOW}.`),
    );
    describe.skip(title, suite);
  }
}
