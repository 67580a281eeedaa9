import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { AUDIENCE, IN_FLIGHT, type Material } from './material.js';
import { type Mark, type Rival, SLICE_MS } from './rounds.js';

interface Programs {
  readonly findProgram: (language: 'go') => readonly string[] | undefined;
}

/** go-spiffe, as a program that measures itself on the same material; `undefined` where it is not built. */
export class GoSpiffe {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(command: readonly string[]) {
    const [program = '', ...args] = command;
    this.#child = spawn(program, [...args, 'bench'], { stdio: ['pipe', 'pipe', 'inherit'] });
    if (this.#child.stdout === null) throw new Error('go-spiffe has no output');
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  static async start(material: Material): Promise<GoSpiffe | undefined> {
    // Run from source: the same search as the interop tests make.
    const source = fileURLToPath(new URL('../test/interop/programs.mjs', import.meta.url));
    const { findProgram } = (await import(source)) as Programs;
    const command = findProgram('go');
    if (command === undefined) return undefined;
    const go = new GoSpiffe(command);
    go.#say(describe(material));
    return go;
  }

  /** go-spiffe as a rival in one operation. */
  rival(op: string, mark?: Mark): Rival {
    const run = async (): Promise<number> => {
      this.#say({ op, ms: SLICE_MS });
      const line = await this.#lines.next();
      if (line.done) throw new Error('go-spiffe ended');
      const { perSecond, error } = JSON.parse(line.value) as { perSecond?: number; error?: string };
      if (perSecond === undefined) throw new Error(`go-spiffe: ${error}`);
      return perSecond;
    };
    return { name: 'go-spiffe', run, ...(mark === undefined ? {} : { mark }) };
  }

  async close(): Promise<void> {
    this.#child.stdin?.end();
    await once(this.#child, 'exit');
  }

  #say(value: object): void {
    this.#child.stdin?.write(`${JSON.stringify(value)}\n`);
  }
}

function describe({ ca, rsa, client, server, es256, rs256 }: Material): object {
  const svid = ({ certificates, privateKey }: Material['client']): object => ({
    certificates: base64(Buffer.concat(certificates)),
    key: base64(privateKey.export({ type: 'pkcs8', format: 'der' })),
  });
  const keys = [ca, rsa].flatMap(({ jwtBundleJson }) => {
    return (JSON.parse(Buffer.from(jwtBundleJson).toString()) as { keys: object[] }).keys;
  });
  return {
    trustDomain: 'example.org',
    authorities: base64(ca.bundleDer),
    client: svid(client),
    server: svid(server),
    jwks: base64(Buffer.from(JSON.stringify({ keys }))),
    tokens: { ES256: es256.token, RS256: rs256.token },
    audience: AUDIENCE,
    inFlight: IN_FLIGHT,
  };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
