import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SpiffeError, type SpiffeErrorCode, Workload, type WorkloadOptions } from 'agent-spiffe';
import { WorkloadApiServer } from 'agent-spiffe/testing';
import { expect } from 'chai';
import pino from 'pino';
import { memoryLogger } from '../support/memory-logger.js';
import { rejection } from '../support/rejection.js';
import { nextState } from '../support/states.js';

const run = promisify(execFile);

/** The error with which opening fails, having checked that it is ours and of this code. */
const refused = (options: WorkloadOptions, code: SpiffeErrorCode): Promise<SpiffeError> =>
  rejection(code, Workload.open(options));

const until = async (workload: Workload, wanted: string): Promise<void> => {
  await nextState(workload, ({ state }) => state === wanted);
};

describe('a workload', () => {
  let server: WorkloadApiServer;

  beforeEach(async () => {
    server = await WorkloadApiServer.open({
      trustDomain: 'example.org',
      identities: [
        { id: 'spiffe://example.org/a', hint: 'main' },
        { id: 'spiffe://example.org/b', hint: 'second' },
      ],
      federated: ['other.org'],
    });
  });

  afterEach(() => server.close());

  it('is open once it has its first identity, and shows it', async () => {
    await using workload = await Workload.open({ address: server.address });
    expect(workload.state).to.equal('ready');
    expect(workload.id.toString()).to.equal('spiffe://example.org/a');
    expect(workload.x509.svids()).to.have.lengthOf(2);
    for (const ca of [server.ca, server.caOf('other.org')])
      expect(workload.x509.bundles.get(ca.trustDomain)?.equals(ca.bundle)).to.equal(true);
  });

  it('finds the Workload API by SPIFFE_ENDPOINT_SOCKET (WLE-07)', async () => {
    const before = process.env['SPIFFE_ENDPOINT_SOCKET'];
    process.env['SPIFFE_ENDPOINT_SOCKET'] = server.address;
    try {
      await using workload = await Workload.open();
      expect(workload.state).to.equal('ready');
    } finally {
      if (before === undefined) delete process.env['SPIFFE_ENDPOINT_SOCKET'];
      else process.env['SPIFFE_ENDPOINT_SOCKET'] = before;
    }
  });

  it('uses the identity picked by its hint', async () => {
    await using workload = await Workload.open({ address: server.address, pick: 'second' });
    expect(workload.id.path).to.equal('/b');
  });

  it('follows a rotation by itself, of the SVID and of the CA', async () => {
    await using workload = await Workload.open({ address: server.address });
    const serials = new Set([workload.x509.svid().serialNumber]);
    const updates = workload.updates()[Symbol.asyncIterator]();
    await updates.next();
    for (const rotate of [() => server.rotateSvids(), () => server.rotateCa()]) {
      const update = updates.next();
      rotate();
      await update;
      serials.add(workload.x509.svid().serialNumber);
    }
    expect(serials.size).to.equal(3);
    expect(workload.x509.bundles.get('example.org')?.authorities).to.have.lengthOf(2);
  });

  it('loses what was withdrawn, and has it again when that is over', async () => {
    await using workload = await Workload.open({ address: server.address });
    server.withdraw();
    await until(workload, 'revoked');
    expect(() => workload.id).to.throw(SpiffeError, /withdrawn/);
    expect(workload.x509.bundles.get('example.org')).to.equal(undefined);
    server.restore();
    await until(workload, 'ready');
    expect(workload.id.path).to.equal('/a');
  });

  it('keeps its identity while the agent is away, and is back with it', async () => {
    await using workload = await Workload.open({ address: server.address });
    await server.goOffline();
    await until(workload, 'stale');
    expect(workload.id.path).to.equal('/a');
    await server.goOnline();
    await until(workload, 'ready');
  });

  it('stays as it is over a message that is wrong', async () => {
    const logger = memoryLogger();
    await using workload = await Workload.open({ address: server.address, logger });
    const svid = workload.x509.svid();
    server.corruptSvids((message) => ({ ...message, svids: [] }));
    server.rotateSvids();
    const updates = workload.updates()[Symbol.asyncIterator]();
    await updates.next();
    const next = updates.next();
    server.rotateSvids();
    await next;
    expect(workload.x509.svid()).not.to.equal(svid);
    expect(logger.at('warn')).to.have.lengthOf(1);
    expect(logger.at('warn')[0]?.message).to.match(/no X509-SVID/);
  });

  it('shows where it is and how it does as JSON, and no key', async () => {
    await using workload = await Workload.open({ address: server.address });
    const json = JSON.stringify(workload);
    expect(JSON.parse(json)).to.have.property(
      'address',
      server.address.replace('unix://', 'unix:'),
    );
    expect(json).to.include('"state":"ready"').and.include('spiffe://example.org/b');
    const { d } = workload.x509.svid().privateKey.export({ format: 'jwk' });
    expect(json).not.to.include(d);
  });

  it('takes a pino logger as it is', async () => {
    const lines: string[] = [];
    const logger = pino({}, { write: (line: string) => lines.push(line) });
    await using workload = await Workload.open({ address: server.address, logger });
    server.withdraw();
    await until(workload, 'revoked');
    expect(JSON.parse(lines[0] ?? '')).to.include({
      stream: 'X.509-SVIDs',
      code: 'ERR_SPIFFE_WORKLOAD_API_DENIED',
      grpcStatus: 7,
    });
  });

  describe('that is closed', () => {
    it('is so for good, however often', async () => {
      const workload = await Workload.open({ address: server.address });
      await Promise.all([workload.close(), workload.close()]);
      await workload[Symbol.asyncDispose]();
      expect(workload.state).to.equal('closed');
      expect(() => workload.id)
        .to.throw(SpiffeError)
        .with.property('code', 'ERR_SPIFFE_SOURCE_CLOSED');
      await server.idle();
    });

    it('ends whoever reads its states', async () => {
      const workload = await Workload.open({ address: server.address });
      const states: string[] = [];
      const reading = (async () => {
        for await (const { state } of workload.updates()) states.push(state);
      })();
      await workload.close();
      await reading;
      expect(states).to.deep.equal(['ready', 'closed']);
    });
  });
});

describe('opening a workload', () => {
  let folder: string;
  let address: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'w-'));
    address = `unix:${folder}/s`;
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const BAD_OPTIONS: readonly (readonly [what: string, options: object, says: RegExp])[] = [
    ['an empty hint', { pick: '' }, /pick is the hint/],
    ['a pick that is neither hint nor function', { pick: 7 }, /pick is the hint/],
    ['a time-out of 0', { timeoutMs: 0 }, /timeoutMs is a number of milliseconds above 0, not 0/],
    ['a time-out that is no number', { timeoutMs: '5' }, /timeoutMs .* not "5"/],
    ['a time-out of NaN', { timeoutMs: Number.NaN }, /timeoutMs/],
    ['a limit of 0', { limits: { svids: 0 } }, /the limit svids is a whole number from 1, not 0/],
    ['a limit of 1.5', { limits: { bundles: 1.5 } }, /the limit bundles .* not 1\.5/],
    ['a limit that is text', { limits: { bundleBytes: '1' } }, /the limit bundleBytes .* not "1"/],
    ['a limit that there is not', { limits: { svid: 1 } }, /there is no limit "svid"/],
    ['limits that are null', { limits: null }, /limits is an object such as .* not null/],
    ['limits that are a number', { limits: 5 }, /limits is an object such as .* not 5/],
    [
      'a signal that is none',
      { signal: 5 },
      /cannot take a value of type number as signal: give an AbortSignal/,
    ],
    ['a signal that is null', { signal: null }, /cannot take null as signal/],
    ['a logger without methods', { logger: { info: () => {} } }, /no method debug/],
    ['a logger that is null', { logger: null }, /no method debug/],
  ];
  for (const [what, options, says] of BAD_OPTIONS) {
    it(`refuses ${what} before it calls anything`, async () => {
      const error = await refused({ address, ...options }, 'ERR_SPIFFE_OPTION_INVALID');
      expect(error.message).to.match(says);
    });
  }

  it('refuses an address where the options belong: it would be passed over', async () => {
    const error = await refused(address as WorkloadOptions, 'ERR_SPIFFE_OPTION_INVALID');
    expect(error.message).to.include(address);
  });

  it('takes limits that are left undefined', async () => {
    await refused(
      { address, limits: { svids: undefined } as object, timeoutMs: 20 },
      'ERR_SPIFFE_OPEN_TIMEOUT',
    );
  });

  it('refuses a bad address before it calls anything (WLE-08)', async () => {
    await refused({ address: 'npipe:x' }, 'ERR_SPIFFE_ADDRESS_INVALID');
  });

  it('says after its time-out that there is no socket, and what to check', async () => {
    const error = await refused({ address, timeoutMs: 50 }, 'ERR_SPIFFE_OPEN_TIMEOUT');
    expect(error.message).to.include(address).and.include('within 50 ms');
    expect(error.message).to.match(
      /UNAVAILABLE \(14\): "connect ENOENT .*is the agent running, and does SPIFFE_ENDPOINT_SOCKET point at its socket\?/,
    );
    expect(error.grpcStatus).to.equal(14);
    expect(error.cause).to.have.property('code', 'ERR_SPIFFE_WORKLOAD_API_UNAVAILABLE');
  });

  it('says after its time-out that nothing listens on the socket', async () => {
    const code = `const s = require('node:net').createServer().listen(${JSON.stringify(`${folder}/s`)}, () => process.kill(process.pid, 'SIGKILL'))`;
    await run(process.execPath, ['-e', code]).catch(() => {});
    const error = await refused({ address, timeoutMs: 50 }, 'ERR_SPIFFE_OPEN_TIMEOUT');
    expect(error.message).to.match(
      /connect ECONNREFUSED .*nothing listens there: is the agent running\?/,
    );
  });

  it('says after its time-out that the socket may not be opened', async () => {
    const closed = net.createServer().listen(`${folder}/s`);
    await once(closed, 'listening');
    chmodSync(folder, 0o755);
    chmodSync(`${folder}/s`, 0o000);
    // To root every socket is open: the call is made as somebody else.
    const root = process.getuid?.() === 0;
    if (root) process.seteuid?.(65534);
    try {
      const error = await refused({ address, timeoutMs: 50 }, 'ERR_SPIFFE_OPEN_TIMEOUT');
      expect(error.message).to.match(/connect EACCES .*look at the permissions/);
    } finally {
      if (root) process.seteuid?.(0);
      closed.close();
    }
  });

  it('says after its time-out that what listens there answers nothing, and holds no connection to it', async () => {
    const silent = net.createServer().listen(`${folder}/s`);
    await once(silent, 'listening');
    const connected = once(silent, 'connection');
    const opening = refused({ address, timeoutMs: 50 }, 'ERR_SPIFFE_OPEN_TIMEOUT');
    const [socket] = (await connected) as [net.Socket];
    const closed = once(socket.resume(), 'close');
    expect((await opening).message).to.match(/it has taken the call and sent nothing/);
    await closed;
    silent.close();
  });

  describe('where a server answers', () => {
    let server: WorkloadApiServer;

    beforeEach(async () => {
      server = await WorkloadApiServer.open({
        trustDomain: 'example.org',
        identities: [{ id: 'spiffe://example.org/a', hint: 'main' }],
        address: `unix://${folder}/s`,
      });
    });

    afterEach(() => server.close());

    it('says after its time-out that no entry matches this process', async () => {
      server.withdraw();
      const error = await refused({ address, timeoutMs: 100 }, 'ERR_SPIFFE_OPEN_TIMEOUT');
      expect(error.grpcStatus).to.equal(7);
      expect(error.message).to.match(
        /PERMISSION_DENIED \(7\): "no identity issued"; no registration entry matches it/,
      );
      expect(error.message).to.include(`pid ${process.pid}`);
    });

    it('says after its time-out which identities there are, when none is the one to be picked', async () => {
      const error = await refused(
        { address, pick: 'x', timeoutMs: 100 },
        'ERR_SPIFFE_OPEN_TIMEOUT',
      );
      expect(error.message).to.match(
        /no X\.509-SVID with the hint "x"; .*spiffe:\/\/example\.org\/a \("main"\)/,
      );
    });

    it('says after its time-out what was wrong with the message', async () => {
      server.corruptSvids(() => Uint8Array.of(1));
      const error = await refused({ address, timeoutMs: 100 }, 'ERR_SPIFFE_OPEN_TIMEOUT');
      expect(error.cause).to.have.property('code', 'ERR_SPIFFE_WORKLOAD_API_RESPONSE_INVALID');
    });

    it('waits for an identity that comes later', async () => {
      server.withdraw();
      const denied = server.nextCall();
      const opening = Workload.open({ address });
      await denied;
      server.restore();
      await using workload = await opening;
      expect(workload.state).to.equal('ready');
    });

    for (const [name, status] of [
      ['InvalidArgument', 3],
      ['Unimplemented', 12],
    ] as const) {
      it(`fails at once, and not after its time-out, with ${name}`, async () => {
        server.failWith(status, 'no such profile');
        const error = await refused({ address }, 'ERR_SPIFFE_WORKLOAD_API_REJECTED');
        expect(error.grpcStatus).to.equal(status);
        expect(error.message).to.include('"no such profile"');
        expect(server.callCount()).to.equal(1);
      });
    }

    it('rejects with the reason of its signal: one aborted before calls nothing', async () => {
      const reason = new Error('enough');
      const signal = AbortSignal.abort(reason);
      expect(await Workload.open({ address, signal }).catch((error: unknown) => error)).to.equal(
        reason,
      );
      expect(server.callCount()).to.equal(0);
    });

    it('rejects with the reason of its signal while it waits, and leaves no call behind', async () => {
      const reason = new Error('enough');
      const controller = new AbortController();
      server.delay(60_000);
      const called = server.nextCall();
      const opening = Workload.open({ address, signal: controller.signal });
      await called;
      controller.abort(reason);
      expect(await opening.catch((error: unknown) => error)).to.equal(reason);
      await server.idle();
    });

    it('takes no notice of its signal once it is open', async () => {
      const controller = new AbortController();
      await using workload = await Workload.open({ address, signal: controller.signal });
      controller.abort();
      server.rotateSvids();
      expect(workload.state).to.equal('ready');
    });

    it('loads grpc-js, and importing the package alone does not', async () => {
      const script = `
        import { Workload } from 'agent-spiffe';
        import { createRequire } from 'node:module';
        const loaded = (name) => Object.keys(createRequire(import.meta.url).cache).some((file) => file.includes(name));
        const before = ['grpc-js', 'protobufjs', 'undici', 'pino', 'node-forge'].filter(loaded);
        const workload = await Workload.open({ address: process.argv[1] });
        console.log(JSON.stringify({ before, after: loaded('grpc-js') }));
        await workload.close();
      `;
      expect(JSON.parse(await child(script, address))).to.deep.equal({ before: [], after: true });
    });

    it('leaves nothing open: a process that closed its workloads ends by itself', async () => {
      const script = `
        import { Workload } from 'agent-spiffe';
        const [address, nowhere] = process.argv.slice(1);
        const one = await Workload.open({ address });
        const two = await Workload.open({ address });
        await Promise.all([one.close(), two.close()]);
        for (const options of [{ address: nowhere }, { address, pick: 'x' }])
          await Workload.open({ ...options, timeoutMs: 50 }).catch(() => {});
        const aborted = AbortSignal.timeout(20);
        await Workload.open({ address: nowhere, signal: aborted }).catch(() => {});
        await new Promise((resolve) => setImmediate(resolve));
        const kinds = process.getActiveResourcesInfo().filter((kind) => /Pipe|TCP|Timeout|Connect/.test(kind));
        const began = performance.now();
        process.on('exit', () => console.log(JSON.stringify({ late: performance.now() - began > 500, kinds })));
      `;
      const shown = JSON.parse(await child(script, address, `unix:${folder}/nowhere`)) as object;
      expect(shown).to.deep.include({ late: false });
      // The child's own standard output and error are pipes.
      expect(shown)
        .to.have.property('kinds')
        .that.satisfies(
          (kinds: string[]) => kinds.every((kind) => kind === 'PipeWrap') && kinds.length <= 2,
        );
    });
  });
});

/** What a process of its own prints that runs `script` beside this package. */
async function child(script: string, ...args: readonly string[]): Promise<string> {
  const cwd = new URL('../..', import.meta.url);
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script, ...args], {
    cwd,
  });
  return stdout;
}
