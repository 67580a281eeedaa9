import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  findSpire,
  HOW_TO_INSTALL,
  SPIRE_VERSION,
  type SpireBinaries,
} from '../../spire-config/binaries.mjs';
import { CONFIGURATIONS, type FetchedX509, Spire } from '../../spire-config/spire.mjs';

export interface EntryOptions {
  readonly spiffeId: string;
  readonly hint?: string;
  /** SPIRE dates an SVID back by 10 s and renews it at half of that life: 20 gives 5 s, 15 gives 2 s, 10 every sync. */
  readonly x509TtlSeconds?: number;
  readonly jwtTtlSeconds?: number;
  /** Trust domains whose bundles the workload gets; each bundle must have been set before. */
  readonly federatesWith?: readonly string[];
  /** Who serves it: this pair's agent unless given. */
  readonly parent?: string;
}

/** What a suite wants otherwise than the demo has it. */
export interface SpireOptions {
  /** `example.org` unless given. */
  readonly trustDomain?: string;
  /** Lines for the `server` section of the configuration. */
  readonly server?: string;
  /** Lines for the `agent` section. */
  readonly agent?: string;
  /** Lines for the server's `plugins` section. */
  readonly serverPlugins?: string;
}

/** A real SPIRE server with one agent, isolated in a directory of its own; everything is for this user's processes. */
export class TestSpire {
  readonly #spire: Spire;
  readonly #directory: string;

  private constructor(spire: Spire, directory: string) {
    this.#spire = spire;
    this.#directory = directory;
  }

  /** Resolves once both are healthy, in about half a second; there are no entries yet. */
  static async start(options: SpireOptions = {}): Promise<TestSpire> {
    const binaries = spireAvailable();
    if (!binaries) throw new Error(`no SPIRE ${SPIRE_VERSION}: ${HOW_TO_INSTALL}`);
    const directory = mkdtempSync(join(tmpdir(), 'spire-'));
    writeConfigurations(directory, options);
    const { trustDomain = 'example.org' } = options;
    const started = new TestSpire(
      new Spire({ binaries, directory, trustDomain, ends: true, configurations: directory }),
      directory,
    );
    try {
      await started.startServer();
      await started.startAgent();
    } catch (error) {
      await started.close();
      throw error;
    }
    return started;
  }

  /** The Workload API, as `SPIFFE_ENDPOINT_SOCKET` wants it. */
  get address(): string {
    return this.#spire.address;
  }

  /** The server's API over TCP: host and port. */
  get serverAddress(): string {
    return this.#spire.serverAddress;
  }

  /** Resolves to the entry's id; the workload sees it within about a second. */
  async createEntry(entry: EntryOptions): Promise<string> {
    const options = {
      spiffeID: entry.spiffeId,
      parentID: entry.parent ?? this.#spire.parentId,
      selector: `unix:uid:${process.getuid?.()}`,
      hint: entry.hint,
      x509SVIDTTL: entry.x509TtlSeconds,
      jwtSVIDTTL: entry.jwtTtlSeconds,
    };
    const args = Object.entries(options).flatMap(([name, value]) =>
      value === undefined ? [] : [`-${name}`, String(value)],
    );
    for (const name of entry.federatesWith ?? []) args.push('-federatesWith', `spiffe://${name}`);
    const printed = await this.#spire.admin(['entry', 'create', ...args]);
    const id = /^Entry ID\s*: (\S+)$/m.exec(printed)?.[1];
    if (id === undefined) throw new Error(`spire-server named no entry id: ${printed}`);
    return id;
  }

  async deleteEntry(id: string): Promise<void> {
    await this.#spire.admin(['entry', 'delete', '-entryID', id]);
  }

  /** The X.509 authorities of this pair's trust domain, as PEM. */
  bundle(): Promise<string> {
    return this.#spire.admin(['bundle', 'show', '-format', 'pem']);
  }

  /** Sets what this server knows as the authorities of another trust domain, by PEM. */
  async setBundle(trustDomain: string, pem: string): Promise<void> {
    await this.#spire.admin(['bundle', 'set', '-id', `spiffe://${trustDomain}`], pem);
  }

  /** Forgets another trust domain; entries that federate with it no longer do. */
  async deleteBundle(trustDomain: string): Promise<void> {
    const args = ['bundle', 'delete', '-id', `spiffe://${trustDomain}`, '-mode', 'dissociate'];
    await this.#spire.admin(args);
  }

  /**
   * Makes a new X.509 authority, and has every SVID issued anew by it; or a new key for JWT-SVIDs. Both are in the
   * bundle until the old one is revoked.
   */
  async rotateAuthority(
    kind: 'x509' | 'jwt' = 'x509',
  ): Promise<{ readonly revokeOld: () => Promise<void> }> {
    const authority = (verb: string, id?: string): Promise<string> =>
      this.#spire.admin(['localauthority', kind, verb, ...(id ? ['-authorityID', id] : [])]);
    const old = idOf('Active', await authority('show'));
    await authority('activate', idOf('Prepared', await authority('prepare')));
    await authority('taint', old);
    return {
      revokeOld: async () => {
        await authority('revoke', old);
      },
    };
  }

  /** What SPIRE's own client is served now: no SVIDs while it is denied. */
  fetchX509(): Promise<FetchedX509> {
    return this.#spire.fetchX509();
  }

  startServer(): Promise<void> {
    return this.#spire.startServer();
  }

  stopServer(options: { readonly signal?: NodeJS.Signals } = {}): Promise<void> {
    return this.#spire.stop('server', options.signal);
  }

  startAgent(): Promise<void> {
    return this.#spire.startAgent();
  }

  stopAgent(options: { readonly signal?: NodeJS.Signals } = {}): Promise<void> {
    return this.#spire.stop('agent', options.signal);
  }

  /** Sends the agent a signal that does not end it. */
  signalAgent(signal: 'SIGSTOP' | 'SIGCONT'): void {
    const [pid] = readFileSync(join(this.#directory, 'agent/pid'), 'utf8').split('\n');
    process.kill(Number(pid), signal);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Ends both by force and removes their state. */
  async close(): Promise<void> {
    await Promise.all([
      this.#spire.stop('agent', 'SIGKILL'),
      this.#spire.stop('server', 'SIGKILL'),
    ]);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** The demo's configuration, with a suite's own lines at the head of their sections. */
function writeConfigurations(directory: string, options: SpireOptions): void {
  const write = (name: string, sections: Readonly<Record<string, string | undefined>>): void => {
    let text = readFileSync(join(CONFIGURATIONS, name), 'utf8');
    for (const [section, lines = ''] of Object.entries(sections))
      text = text.replace(`\n${section} {`, `\n${section} {\n${lines}`);
    writeFileSync(join(directory, name), text);
  };
  write('server.conf', { server: options.server, plugins: options.serverPlugins });
  write('agent.conf', { agent: options.agent });
}

function idOf(state: 'Active' | 'Prepared', printed: string): string {
  const id = new RegExp(`${state} (?:X.509|JWT) authority:\\s+Authority ID: (\\S+)`).exec(
    printed,
  )?.[1];
  if (id === undefined) throw new Error(`spire-server named no authority: ${printed}`);
  return id;
}

let found: { readonly binaries: SpireBinaries | undefined } | undefined;

/** SPIRE on this machine; looked for once. */
export function spireAvailable(): SpireBinaries | undefined {
  found ??= { binaries: findSpire() };
  return found.binaries;
}

const leftOut: string[] = [];

/**
 * A suite on real SPIRE. Where that is missing the suite is pending and one line at the very end says so; on CI its
 * absence is a failure.
 */
export function describeSpire(title: string, suite: (this: Mocha.Suite) => void): void {
  if (spireAvailable()) {
    describe(title, function () {
      this.timeout(60_000);
      suite.call(this);
    });
  } else if (process.env['CI']) {
    describe(title, () => {
      it(`has SPIRE ${SPIRE_VERSION} to run on`, () => {
        throw new Error(`no SPIRE ${SPIRE_VERSION} on this machine: ${HOW_TO_INSTALL}`);
      });
    });
  } else {
    if (leftOut.push(title) === 1) process.once('exit', sayWhatIsLeftOut);
    describe.skip(title, suite);
  }
}

function sayWhatIsLeftOut(): void {
  const suites = leftOut.map((title) => title.replace('real SPIRE: ', '')).join('; ');
  console.error(
    `Left out, for want of SPIRE ${SPIRE_VERSION}: ${suites}. To run them: ${HOW_TO_INSTALL}.`,
  );
}
