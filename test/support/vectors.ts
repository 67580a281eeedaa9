import { readFileSync } from 'node:fs';

/** What the cases of each kind hold beside {@link VectorCase}; the README beside the file says what it means. */
export interface VectorInputs {
  readonly id: { readonly text: string };
  readonly build: { readonly trustDomain: string; readonly segments: readonly string[] };
  readonly rule: { readonly rule: unknown; readonly text: string };
  readonly address: { readonly text: string };
  readonly x509: {
    readonly chain: readonly string[];
    readonly bundles: Readonly<Record<string, readonly string[]>>;
  };
  readonly jwt: {
    readonly token: string;
    readonly bundles: Readonly<Record<string, unknown>>;
    readonly audience: string | readonly string[];
    readonly bundleFormat?: 'spiffe';
  };
  readonly x509bundle: { readonly trustDomain: string; readonly certs: string };
}

/** What every case holds. */
export interface VectorCase {
  readonly id: string;
  readonly expect: 'accept' | 'reject';
  /** The requirement it rests on. */
  readonly why: string;
  /** The SPIFFE ID that comes out of an input that is accepted. */
  readonly identity?: string;
  /** The fault is the caller's: it is refused where it is given. */
  readonly callerFault?: boolean;
}

const file = new URL('../../test/vectors/spiffe.jsonl', import.meta.url);
const [head, ...cases] = readFileSync(file, 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line) as unknown);

/** The instant for which the vectors are good. */
export const VECTORS_NOW: Date = new Date((head as { readonly now: string }).now);

/** The cases of one kind, in the order of the file. */
export function vectorsOf<K extends keyof VectorInputs>(
  kind: K,
): readonly (VectorCase & VectorInputs[K])[] {
  return (cases as readonly (VectorCase & VectorInputs[K] & { readonly kind: string })[]).filter(
    (one) => one.kind === kind,
  );
}
