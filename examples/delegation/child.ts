/** What a child process is told by the one that started it, and tells it: where who is, and when it is over. No secrets. */
import type { Name } from './party.js';

/** From the parent. */
export type Order =
  | { readonly origins: Partial<Record<Name, string>> }
  | { readonly do: 'refresh' | 'stop' };
/** From the child. */
export type Report = { readonly origin: string } | { readonly done: 'refresh' };

/** How this process was started. */
export function started(): { readonly address: string; readonly home: string } {
  const { SPIFFE_ENDPOINT_SOCKET: address = '', STORY_HOME: home = '' } = process.env;
  return { address, home };
}

export function report(message: Report): void {
  process.send?.(message);
}

/** Does what the parent says, until it says that it is over. */
export async function obey(onOrder: (order: Order) => void | Promise<void>): Promise<void> {
  await new Promise<void>((stop) => {
    process.on('message', (order: Order) => {
      if ('do' in order && order.do === 'stop') stop();
      else void onOrder(order);
    });
    process.once('disconnect', stop);
  });
  process.disconnect?.();
}
