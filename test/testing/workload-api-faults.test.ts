import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { FakeClock, WorkloadApiServer, type WorkloadApiServerOptions } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { RawClient } from '../support/workload-api-client.js';

const RESEARCHER = 'spiffe://example.org/agents/researcher';
const OPTIONS: WorkloadApiServerOptions = { trustDomain: 'example.org', identities: [RESEARCHER] };

const OK = 0;
const INVALID_ARGUMENT = 3;
const UNAVAILABLE = 14;

let server: WorkloadApiServer;
let client: RawClient;

async function open(options: Partial<WorkloadApiServerOptions> = {}): Promise<void> {
  server = await WorkloadApiServer.open({ ...OPTIONS, ...options });
  client = new RawClient(server.address);
}

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return 'it was fulfilled';
}

describe('the development Workload API: faults', () => {
  afterEach(async () => {
    client.close();
    await server.close();
  });

  it('holds the first message back, and sends the newest state then', async () => {
    const clock = new FakeClock();
    await open({ clock, autoRotate: false });
    server.delay(500);
    const called = server.nextCall();
    const stream = client.svids();
    await called;
    server.federate('partner.test');
    clock.advance(499);
    expect(stream.unread).to.equal(0);
    clock.advance(1);
    const { federated_bundles } = await stream.next();
    expect(Object.keys(federated_bundles)).to.deep.equal(['spiffe://partner.test']);
    server.delay(0);
    await client.svids().next();
  });

  it('forgets a message held back when the caller has gone', async () => {
    const clock = new FakeClock();
    await open({ clock, autoRotate: false });
    server.delay(500);
    const called = server.nextCall();
    const stream = client.svids();
    await called;
    expect(clock.pendingTimers).to.equal(1);
    stream.cancel();
    await server.idle();
    expect(clock.pendingTimers).to.equal(0);
  });

  it('sends one message changed, and the next one right', async () => {
    await open();
    server.corruptSvids((message) => ({
      ...message,
      svids: message.svids.map((svid) => ({ ...svid, spiffeId: 'spiffe://example.org/other' })),
    }));
    const stream = client.svids();
    expect((await stream.next()).svids[0]?.spiffe_id).to.equal('spiffe://example.org/other');
    server.resend();
    expect((await stream.next()).svids[0]?.spiffe_id).to.equal(RESEARCHER);
  });

  it('sends raw bytes in place of a message, as often as it is told', async () => {
    await open();
    server.corruptSvids(() => Uint8Array.of(0xff, 0xff), { times: 2 });
    const stream = client.rawSvids();
    expect(await stream.next()).to.deep.equal(Buffer.from([0xff, 0xff]));
    server.resend();
    expect(await stream.next()).to.deep.equal(Buffer.from([0xff, 0xff]));
    server.resend();
    expect((await stream.next()).length).to.be.above(100);
  });

  it('changes messages of the bundle stream alike, and of that alone', async () => {
    await open();
    server.corruptBundles((message) => ({ ...message, bundles: new Map() }));
    expect((await client.bundles().next()).bundles).to.deep.equal({});
    expect((await client.svids().next()).svids).to.have.length(1);
    expect(Object.keys((await client.bundles().next()).bundles)).to.have.length(1);
  });

  it('WLE-14: answers new calls with a status until it is healed; open streams go on', async () => {
    await open();
    const stream = client.svids();
    await stream.next();
    server.failWith(UNAVAILABLE, 'shedding load');
    for (const started of [client.svids(), client.bundles()]) {
      expect(await started.ended).to.deep.equal({ code: UNAVAILABLE, details: 'shedding load' });
    }
    server.rotateSvids();
    await stream.next();
    server.heal();
    await client.svids().next();
  });

  it('fails the next call alone when told so', async () => {
    await open();
    server.failWith(INVALID_ARGUMENT, '', { times: 1 });
    expect((await client.svids().ended).code).to.equal(INVALID_ARGUMENT);
    await client.svids().next();
  });

  it('is healed of delay and corruption too', async () => {
    await open({ clock: new FakeClock() });
    server.delay(1000);
    server.corruptSvids(() => new Uint8Array(), { times: Number.POSITIVE_INFINITY });
    server.corruptBundles(() => new Uint8Array(), { times: Number.POSITIVE_INFINITY });
    server.heal();
    expect((await client.svids().next()).svids).to.have.length(1);
    expect(Object.keys((await client.bundles().next()).bundles)).to.have.length(1);
  });

  for (const code of [0, 17, -1, 1.5, Number.NaN]) {
    it(`refuses to fail with the status ${code}`, async () => {
      await open();
      expect(() => server.failWith(code)).to.throw('[ERR_SPIFFE_OPTION_INVALID]');
    });
  }

  it('ends streams cleanly, or with a status', async () => {
    await open();
    const stream = client.svids();
    await stream.next();
    server.endStreams();
    expect((await stream.ended).code).to.equal(OK);
    const [svids, bundles] = [client.svids(), client.bundles()];
    await Promise.all([svids.next(), bundles.next()]);
    server.endStreams(UNAVAILABLE, 'restarting');
    expect(await svids.ended).to.deep.equal({ code: UNAVAILABLE, details: 'restarting' });
    expect((await bundles.ended).code).to.equal(UNAVAILABLE);
    await server.idle();
  });

  it('cuts every connection, and takes new ones', async () => {
    await open();
    const stream = client.svids();
    await stream.next();
    server.disconnect();
    expect((await stream.ended).code).to.equal(UNAVAILABLE);
    await server.idle();
    expect(server.openStreams).to.equal(0);
    const again = new RawClient(server.address);
    await again.svids().next();
    again.close();
  });

  for (const address of [undefined, 'tcp://127.0.0.1:0']) {
    it(`goes away and comes back at the same address: ${address ?? 'a Unix socket'}`, async () => {
      await open(address === undefined ? {} : { address });
      const where = server.address;
      const stream = client.svids();
      await stream.next();
      await server.goOffline();
      await server.goOffline();
      expect((await stream.ended).code).to.equal(UNAVAILABLE);
      expect((await client.svids().ended).code).to.equal(UNAVAILABLE);
      await server.goOnline();
      await server.goOnline();
      expect(server.address).to.equal(where);
      const again = new RawClient(where);
      await again.svids().next();
      again.close();
    });
  }
});

describe('the development Workload API: what a test can see of it', () => {
  beforeEach(() => open());
  afterEach(async () => {
    client.close();
    await server.close();
  });

  it('counts calls, refused ones included', async () => {
    await client.svids().next();
    await client.bundles().next();
    await client.outcome('FetchX509SVID', []);
    expect(server.callCount()).to.equal(3);
    expect(server.callCount('FetchX509SVID')).to.equal(2);
    expect(server.callCount('FetchJWTSVID')).to.equal(0);
  });

  it('wakes who waits for a call, with its name and metadata', async () => {
    const any = server.nextCall();
    const bundles = server.nextCall({ method: 'FetchX509Bundles' });
    await client.svids().next();
    expect((await any).method).to.equal('FetchX509SVID');
    await client.bundles().next();
    const call = await bundles;
    expect(call.method).to.equal('FetchX509Bundles');
    expect(call.metadata['workload.spiffe.io']).to.deep.equal(['true']);
  });

  it('waits no longer than its signal allows, and rejects with its reason', async () => {
    const reason = new Error('enough');
    const controller = new AbortController();
    const waiting = server.nextCall({ signal: controller.signal });
    controller.abort(reason);
    expect(await rejection(waiting)).to.equal(reason);
    expect(await rejection(server.nextCall({ signal: controller.signal }))).to.equal(reason);
  });

  it('tells when no stream is open', async () => {
    await server.idle();
    const [one, two] = [client.svids(), client.bundles()];
    await Promise.all([one.next(), two.next()]);
    expect(server.openStreams).to.equal(2);
    const idle = server.idle();
    one.cancel();
    two.cancel();
    await idle;
    expect(server.openStreams).to.equal(0);
  });
});

describe('the development Workload API: opening and closing', () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'dev-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  it('removes its socket and its directory, and cuts its connections', async () => {
    await open();
    const path = server.address.slice('unix://'.length);
    const stream = client.svids();
    await stream.next();
    await server.close();
    await server.close();
    expect((await stream.ended).code).to.equal(UNAVAILABLE);
    client.close();
    expect(existsSync(dirname(path))).to.equal(false);
  });

  it('listens at a path that it is given, percent-encoded where need be, and leaves the directory', async () => {
    const address = `unix://${directory}/a%20b.sock`;
    await open({ address });
    expect(server.address).to.equal(address);
    expect(statSync(join(directory, 'a b.sock')).mode & 0o777).to.equal(0o600);
    await server.close();
    client.close();
    expect(existsSync(join(directory, 'a b.sock'))).to.equal(false);
    expect(existsSync(directory)).to.equal(true);
  });

  it('takes the place of a socket that a process has left behind', async () => {
    const path = join(directory, 'api.sock');
    const program = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', program]);
    expect(statSync(path).isSocket()).to.equal(true);
    await open({ address: `unix://${path}` });
    await client.svids().next();
    await server.close();
    client.close();
  });

  it('leaves alone a socket that another server answers on', async () => {
    const path = join(directory, 'api.sock');
    const other = createServer().listen(path);
    await once(other, 'listening');
    const error = await rejection(
      WorkloadApiServer.open({ ...OPTIONS, address: `unix://${path}` }),
    );
    expect(String(error)).to.include('another server answers there');
    expect(existsSync(path)).to.equal(true);
    other.close();
  });

  for (const [what, name, why] of [
    ['a file that is no socket', 'file', 'something other than a socket'],
    ['a directory that does not exist', 'none/api.sock', 'its directory does not exist'],
    ['a path too long for a socket', 'a'.repeat(120), '10[37] bytes at most'],
  ] as const) {
    it(`refuses ${what}`, async () => {
      writeFileSync(join(directory, 'file'), '');
      const address = `unix://${directory}/${name}`;
      const error = await rejection(WorkloadApiServer.open({ ...OPTIONS, address }));
      expect(String(error)).to.match(new RegExp(`${why}.*ERR_SPIFFE_ADDRESS_INVALID`));
    });
  }

  for (const address of [
    '/tmp/api.sock',
    'unix:api.sock',
    'http://127.0.0.1:0',
    'tcp://localhost:0',
    'tcp://127.0.0.1:0/',
  ]) {
    it(`refuses the address ${address}`, async () => {
      const error = await rejection(WorkloadApiServer.open({ ...OPTIONS, address }));
      expect(String(error)).to.include('ERR_SPIFFE_ADDRESS_INVALID');
    });
  }

  it('refuses a port that is taken', async () => {
    await open({ address: 'tcp://127.0.0.1:0' });
    const { address } = server;
    const error = await rejection(WorkloadApiServer.open({ ...OPTIONS, address }));
    expect(String(error)).to.match(/EADDRINUSE.*ERR_SPIFFE_ADDRESS_INVALID/);
    await server.close();
    client.close();
  });

  it('refuses to do anything once it is closed, and rejects who waits', async () => {
    await open();
    const waiting = server.nextCall();
    const waitingForOne = server.nextCall({ method: 'FetchX509SVID' });
    await server.close();
    client.close();
    for (const act of [
      () => server.rotateSvids(),
      () => server.rotateCa(),
      () => server.resend(),
    ]) {
      expect(act).to.throw('[ERR_SPIFFE_SOURCE_CLOSED]');
    }
    expect(await rejection(server.goOnline())).to.have.property('code', 'ERR_SPIFFE_SOURCE_CLOSED');
    expect(await rejection(waiting)).to.have.property('code', 'ERR_SPIFFE_SOURCE_CLOSED');
    expect(String(await rejection(waitingForOne))).to.include('no FetchX509SVID came');
  });

  it('leaves nothing behind that keeps a process up', () => {
    const program = `
      import { WorkloadApiServer } from 'agent-spiffe/testing';
      const server = await WorkloadApiServer.open(${JSON.stringify(OPTIONS)});
      await server.close();
    `;
    const { status, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      timeout: 9000,
    });
    expect({ status, signal }).to.deep.equal({ status: 0, signal: null });
  });

  it('is disposed of at the end of a block', async () => {
    let path: string;
    {
      await using opened = await WorkloadApiServer.open(OPTIONS);
      path = opened.address.slice('unix://'.length);
      expect(existsSync(path)).to.equal(true);
    }
    expect(existsSync(path)).to.equal(false);
  });

  it('tells a logger what happens, and never a key', async () => {
    const said: string[] = [];
    const note =
      (level: string) =>
      (fields: object, message: string): void =>
        void said.push(`${level} ${message} ${JSON.stringify(fields)}`);
    const logger = {
      debug: note('debug'),
      info: note('info'),
      warn: note('warn'),
      error: note('error'),
    };
    await open({ logger });
    const { svids } = await client.svids().next();
    server.rotateSvids();
    await server.close();
    client.close();
    const all = said.join('\n');
    for (const what of [
      'info listening',
      'debug called',
      'debug sent',
      'info SVIDs rotated',
      'info closed',
    ]) {
      expect(all).to.include(what);
    }
    const key = Buffer.from(svids[0]?.x509_svid_key ?? []);
    expect(all).not.to.include(key.toString('base64').slice(0, 40));
    expect(all).not.to.match(/privateKey|x509_svid_key|BEGIN/);
  });
});
