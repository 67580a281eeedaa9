import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Comparison } from './rounds.js';

const program = (name: string): string =>
  fileURLToPath(new URL(`./programs/${name}.js`, import.meta.url));

/** What it costs to start: whole processes, from spawn to exit. */
export function startComparisons(address: string): Comparison[] {
  return [
    {
      name: 'first SVID, from the start of the process, against a bare grpc-js program (time, less is better)',
      unit: 'ms',
      ours: () => run('first-svid', address),
      rivals: [
        { name: 'bare', mark: { atMost: 1.25 }, run: () => run('first-svid-bare', address) },
      ],
    },
    {
      name: "import 'agent-spiffe' against an empty program (time, less is better)",
      unit: 'ms',
      ours: () => run('import', address),
      rivals: [{ name: 'empty', mark: { over: 15 }, run: () => run('empty', address) }],
    },
  ];
}

async function run(name: string, address: string): Promise<number> {
  const start = performance.now();
  const child = spawn(process.execPath, [program(name)], {
    env: { ...process.env, SPIFFE_ENDPOINT_SOCKET: address },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [code] = (await once(child, 'exit')) as [number];
  if (code !== 0) throw new Error(`${name} exited with ${code}`);
  return performance.now() - start;
}
