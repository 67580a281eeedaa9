import { execFile, spawn } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DEADLINE_MS, end, freePort, recordPid, until } from './processes.mjs';

/** @typedef {'server' | 'agent'} Role */

/**
 * @typedef {object} FetchedX509 What `spire-agent api fetch x509` prints; certificates are DER in base64.
 * @property {readonly { spiffe_id: string, hint: string, x509_svid: string, bundle: string }[]} svids
 * @property {Readonly<Record<string, string>>} federated_bundles - by the trust domain's SPIFFE ID.
 */

/** Where the configuration of the demo is. */
export const CONFIGURATIONS = fileURLToPath(new URL('.', import.meta.url));

/** The ID that every agent which joins gets beside its own: the parent of the entries, the same after each start. */
const HOST = 'host';

/**
 * One SPIRE server with one agent that joined it, all state in one directory, run with `server.conf` and `agent.conf`.
 * Processes are known by their pid files, so that another program can end them.
 */
export class Spire {
  /** @type {import('./binaries.mjs').SpireBinaries} */
  #binaries;
  /** @type {string} */
  #directory;
  /** @type {string} */
  #trustDomain;
  /** @type {boolean} */
  #ends;
  /** @type {string} */
  #configurations;
  /** @type {number | undefined} */
  #port;

  /**
   * @param {object} options
   * @param {import('./binaries.mjs').SpireBinaries} options.binaries
   * @param {string} options.directory - exists, belongs to this user alone, and is short: SPIRE's sockets lie in it.
   * @param {string} [options.trustDomain] - `example.org` unless given.
   * @param {boolean} [options.ends] - ends with this process, by force; false unless given: it lives on.
   * @param {string} [options.configurations] - where `server.conf` and `agent.conf` are; beside this file unless given.
   */
  constructor({
    binaries,
    directory,
    trustDomain = 'example.org',
    ends = false,
    configurations = CONFIGURATIONS,
  }) {
    this.#binaries = binaries;
    this.#directory = directory;
    this.#trustDomain = trustDomain;
    this.#ends = ends;
    this.#configurations = configurations;
  }

  /** The Workload API, as `SPIFFE_ENDPOINT_SOCKET` wants it. */
  get address() {
    return `unix://${join(this.#directory, 'agent/api.sock')}`;
  }

  /** The server's API over TCP: host and port, the same after each start. */
  get serverAddress() {
    this.#port ??= this.#readPort();
    return `127.0.0.1:${this.#port}`;
  }

  /** The parent of every entry: the ID that the agent gets when it joins. */
  get parentId() {
    return `spiffe://${this.#trustDomain}/${HOST}`;
  }

  /**
   * Starts the server, again after {@link Spire.stop} on the same port; resolves once it is healthy.
   * @returns {Promise<void>}
   */
  async startServer() {
    this.#port ??= this.#readPort() ?? (await freePort());
    const directory = join(this.#directory, 'server');
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeFileSync(join(directory, 'port'), String(this.#port));
    for (const name of ['authorization.rego', 'authorization.json'])
      copyFileSync(join(CONFIGURATIONS, name), join(directory, name));
    await this.#start('server', ['-serverPort', String(this.#port)]);
  }

  /**
   * Starts the agent; the first time it joins by a token, later it comes back as itself. Resolves once it is healthy.
   * @returns {Promise<void>}
   */
  async startAgent() {
    const joined = existsSync(join(this.#directory, 'agent/agent-data.json'));
    const token = join(this.#directory, 'agent/join-token');
    if (!joined) {
      mkdirSync(join(this.#directory, 'agent'), { recursive: true, mode: 0o700 });
      const [bundle, generated] = await Promise.all([
        this.admin(['bundle', 'show', '-format', 'pem']),
        this.admin(['token', 'generate', '-spiffeID', this.parentId]),
      ]);
      writeFileSync(join(this.#directory, 'agent/bootstrap.pem'), bundle);
      writeFileSync(token, /^Token: (\S+)$/m.exec(generated)?.[1] ?? '', { mode: 0o600 });
    }
    const port = ['-serverPort', String(this.#port)];
    await this.#start('agent', joined ? port : [...port, '-joinTokenFile', token]);
    rmSync(token, { force: true });
  }

  /**
   * Calls the server's administration, `spire-server ARGUMENTS`.
   * @param {readonly string[]} args
   * @param {string} [input] - for its standard input.
   * @returns {Promise<string>} What it printed.
   */
  admin(args, input) {
    return this.#run('server', args, input);
  }

  /**
   * What the Workload API serves to this user's processes now, fetched by `spire-agent api fetch x509`: no SVIDs at
   * all when it denies, as it does while no entry is for them.
   * @returns {Promise<FetchedX509>}
   */
  async fetchX509() {
    try {
      const printed = await this.#run('agent', ['api', 'fetch', 'x509', '-output', 'json']);
      const fetched = /** @type {unknown} */ (JSON.parse(printed));
      if (isFetchedX509(fetched)) return fetched;
      throw new Error('spire-agent api fetch x509 printed no list of SVIDs');
    } catch (error) {
      if (String(error).includes('PermissionDenied')) return { svids: [], federated_bundles: {} };
      throw error;
    }
  }

  /**
   * Ends one of the two; resolves when its process is gone. Does nothing when it does not run.
   * @param {Role} role
   * @param {NodeJS.Signals} [signal] - SIGTERM unless given.
   * @returns {Promise<void>}
   */
  stop(role, signal) {
    return end(join(this.#directory, role), signal);
  }

  /**
   * Asks the health service that the process itself offers.
   * @param {Role} role
   * @returns {Promise<boolean>}
   */
  async healthy(role) {
    if (!existsSync(join(this.#directory, role, 'api.sock'))) return false;
    return this.#run(role, ['healthcheck']).then(
      () => true,
      () => false,
    );
  }

  /** @returns {number | undefined} */
  #readPort() {
    const file = join(this.#directory, 'server/port');
    return existsSync(file) ? Number(readFileSync(file, 'utf8')) : undefined;
  }

  /**
   * @param {Role} role
   * @param {readonly string[]} args
   */
  async #start(role, args) {
    const directory = join(this.#directory, role);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const log = join(directory, 'log');
    const output = openSync(log, 'a', 0o600);
    const child = spawn(
      this.#binaries[role],
      [
        'run',
        '-config',
        join(this.#configurations, `${role}.conf`),
        '-trustDomain',
        this.#trustDomain,
        ...args,
      ],
      { cwd: this.#directory, detached: !this.#ends, stdio: ['ignore', output, output] },
    );
    closeSync(output);
    /** @type {string | undefined} */
    let ended;
    child.once('error', (error) => {
      ended = error.message;
    });
    child.once('exit', (code, signal) => {
      ended = `it ended with ${signal ?? code}`;
    });
    if (child.pid !== undefined) recordPid(directory, child.pid, this.#binaries[role]);
    child.unref();
    if (this.#ends) {
      const kill = () => child.kill('SIGKILL');
      process.once('exit', kill);
      child.once('exit', () => process.off('exit', kill));
    }
    await until(
      () => {
        if (ended !== undefined)
          throw new Error(`spire-${role} did not start: ${ended}\n${tail(log)}`);
        return this.healthy(role);
      },
      () => `spire-${role} did not become healthy\n${tail(log)}`,
    );
  }

  /**
   * @param {Role} role
   * @param {readonly string[]} args
   * @param {string} [input]
   * @returns {Promise<string>}
   */
  #run(role, args, input) {
    return new Promise((resolve, reject) => {
      const child = execFile(
        this.#binaries[role],
        [...args, '-socketPath', join(this.#directory, role, 'api.sock')],
        { timeout: DEADLINE_MS },
        (error, stdout, stderr) => {
          if (!error) resolve(stdout);
          else
            reject(
              new Error(`spire-${role} ${args.slice(0, 2).join(' ')} failed: ${stderr || stdout}`, {
                cause: error,
              }),
            );
        },
      );
      // A program that ends before it has read everything says why by its exit.
      child.stdin?.on('error', () => {}).end(input);
    });
  }
}

/** @param {string} log */
function tail(log) {
  const lines = readFileSync(log, 'utf8').trimEnd().split('\n').slice(-10);
  return `The end of ${log}:\n  ${lines.join('\n  ')}`;
}

/**
 * @param {unknown} value
 * @returns {value is FetchedX509}
 */
function isFetchedX509(value) {
  return (
    typeof value === 'object' && value !== null && 'svids' in value && Array.isArray(value.svids)
  );
}
