import { readFileSync } from 'node:fs';

let version: string | undefined;

/** The version of this package, read once. */
export function packageVersion(): string {
  version ??= readVersion();
  return version;
}

function readVersion(): string {
  // By name: this module may be joined into a file elsewhere.
  const url = import.meta.resolve('agent-spiffe/package.json');
  const text = readFileSync(new URL(url), 'utf8');
  return String((JSON.parse(text) as { readonly version: unknown }).version);
}
