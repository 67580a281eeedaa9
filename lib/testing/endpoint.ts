import { once } from 'node:events';
import { chmodSync, existsSync, lstatSync, mkdtempSync, rmSync } from 'node:fs';
import {
  type AddressInfo,
  connect,
  createServer,
  isIPv4,
  type Server,
  type Socket,
} from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { SpiffeError } from '../errors.js';
import { quote } from '../internal/quote.js';
import {
  parseWorkloadApiAddress,
  type WorkloadApiAddress,
} from '../sources/workload-api/address.js';

/** `sun_path` of sockaddr_un, less its final zero octet. */
const LONGEST_PATH = process.platform === 'linux' ? 107 : 103;

/** A listening socket of which every connection can be cut, and that can go away and come back. */
export class Endpoint {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** The directory made for the socket, if none was given. */
  readonly #directory: string | undefined;
  #target: WorkloadApiAddress;

  private constructor(
    target: WorkloadApiAddress,
    directory: string | undefined,
    onConnection: (socket: Socket) => void,
  ) {
    this.#target = target;
    this.#directory = directory;
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
      onConnection(socket);
    });
  }

  /** @param address - `unix:///…` or loopback `tcp://…`; without one, a socket in a new directory of its own. */
  static async open(
    address: string | undefined,
    onConnection: (socket: Socket) => void,
  ): Promise<Endpoint> {
    if (address !== undefined) {
      const endpoint = new Endpoint(parseListenAddress(address), undefined, onConnection);
      await endpoint.listen();
      return endpoint;
    }
    // Only this user may enter it (mkdtemp makes it 0700): whoever connects is given private keys.
    const directory = mkdtempSync(join(tmpdir(), 'agent-spiffe-'));
    const path = join(directory, 'api.sock');
    const endpoint = new Endpoint({ kind: 'unix', path }, directory, onConnection);
    try {
      await endpoint.listen();
    } catch (error) {
      endpoint.#removeDirectory();
      throw error;
    }
    return endpoint;
  }

  /** The address in the form of `SPIFFE_ENDPOINT_SOCKET`. */
  get address(): string {
    return formatAddress(this.#target);
  }

  get listening(): boolean {
    return this.#server.listening;
  }

  /** Listens where it listened before. */
  async listen(): Promise<void> {
    const target = this.#target;
    if (target.kind === 'unix') await checkPath(target.path);
    try {
      const listening = once(this.#server, 'listening');
      if (target.kind === 'unix') this.#server.listen(target.path);
      else this.#server.listen(target.port, target.host);
      await listening;
    } catch (cause) {
      throw cannotListen(formatAddress(target), (cause as Error).message, cause);
    }
    if (target.kind === 'unix') chmodSync(target.path, 0o600);
    else this.#target = { ...target, port: (this.#server.address() as AddressInfo).port };
  }

  /** Cuts every connection; new ones are taken. */
  disconnect(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Takes no connection any more, and cuts those that are. The socket file goes away. */
  async mute(): Promise<void> {
    const closed = this.#server.listening ? once(this.#server, 'close') : undefined;
    this.#server.close();
    this.disconnect();
    await closed;
  }

  async close(): Promise<void> {
    await this.mute();
    this.#removeDirectory();
  }

  #removeDirectory(): void {
    if (this.#directory !== undefined) rmSync(this.#directory, { recursive: true, force: true });
  }
}

function formatAddress(target: WorkloadApiAddress): string {
  if (target.kind === 'unix')
    return `unix://${target.path.split('/').map(encodeURIComponent).join('/')}`;
  const host = isIPv4(target.host) ? target.host : `[${target.host}]`;
  return `tcp://${host}:${target.port}`;
}

function parseListenAddress(address: string): WorkloadApiAddress {
  // The standard's syntax, but for port 0, which only a listener can mean.
  const anyPort = /^tcp:.*:0+$/s.test(address);
  const parsed = parseWorkloadApiAddress(anyPort ? address.replace(/0+$/, '1') : address);
  if (parsed.kind === 'unix') return parsed;
  // Workload Endpoint 3: TCP only where the caller is known by where it comes from, so never a wildcard.
  if (!parsed.host.startsWith('127.') && parsed.host !== '::1') {
    throw new SpiffeError(
      'ERR_SPIFFE_ADDRESS_INVALID',
      `cannot listen on ${quote(address)}: over TCP the development Workload API listens on loopback alone (Workload Endpoint 3); give tcp://127.0.0.1:<port> or unix:///<path>`,
    );
  }
  return anyPort ? { ...parsed, port: 0 } : parsed;
}

/** Removes what a process that died left at this path; a socket that someone answers on is left alone. */
async function checkPath(path: string): Promise<void> {
  // Node says EACCES for a missing directory and EINVAL for a long path.
  if (Buffer.byteLength(path) > LONGEST_PATH) {
    throw cannotListen(path, `a socket's path holds ${LONGEST_PATH} bytes at most`);
  }
  if (!existsSync(dirname(path))) throw cannotListen(path, 'its directory does not exist');
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return;
  if (!stats.isSocket()) throw cannotListen(path, 'something other than a socket is there');
  if (await answers(path)) throw cannotListen(path, 'another server answers there');
  rmSync(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}

function cannotListen(where: string, why: string, cause?: unknown): SpiffeError {
  return new SpiffeError(
    'ERR_SPIFFE_ADDRESS_INVALID',
    `cannot listen on ${quote(where)}: ${why}; give another address`,
    { cause },
  );
}
