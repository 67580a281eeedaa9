import type { Workload } from 'agent-spiffe';

let steps = 0;

/** The story on standard output. */
export const tell = {
  title(text: string, detail: string): void {
    console.log(`\n${text}\n  ${detail}`);
  },
  step(text: string): void {
    console.log(`\n${++steps}. ${text}`);
  },
  fact(text: unknown, detail: string): void {
    console.log(`   ${String(text)}\n     ${detail}`);
  },
  end(text: string): void {
    console.log(`\n${text}\n`);
  },
  seconds(who: Workload): number {
    return Math.round((who.x509.svid().notAfter.getTime() - Date.now()) / 1000);
  },
};
