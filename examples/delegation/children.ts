import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Order, Report } from './child.js';
import type { Name } from './party.js';

/** A process of the story that this one has started. */
export interface Child {
  readonly pid: number | undefined;
  readonly origin: string;
  send(order: Order): void;
  /** Sends an order, and waits for the report that it was carried out. */
  ask(order: Order): Promise<void>;
  stop(): Promise<void>;
}

export async function start(
  name: Exclude<Name, 'orchestrator'>,
  { address, home }: { readonly address: string; readonly home: string },
  origins: Partial<Record<Name, string>>,
): Promise<Child> {
  const child = fork(fileURLToPath(new URL(`${name}.js`, import.meta.url)), {
    env: {
      ...process.env,
      SPIFFE_ENDPOINT_SOCKET: address,
      STORY_HOME: home,
      STORY_ORIGINS: JSON.stringify(origins),
    },
  });
  const first = (await next(child)) as { readonly origin: string };
  return {
    pid: child.pid,
    origin: first.origin,
    send: (order) => void child.send(order),
    async ask(order) {
      child.send(order);
      await next(child);
    },
    async stop() {
      const over = once(child, 'exit');
      child.send({ do: 'stop' });
      const [code] = (await over) as [number | null];
      if (code !== 0) throw new Error(`the ${name} ended with ${code}`);
    },
  };
}

/** The next report; rejects when the process ends before. */
async function next(child: ChildProcess): Promise<Report> {
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`a process of the story ended with ${String(code)}`);
  });
  const [message] = (await Promise.race([once(child, 'message'), ended])) as [Report];
  ended.catch(() => {});
  return message;
}
