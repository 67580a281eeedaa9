import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect, promisify } from 'node:util';
import { Workload, type X509Svid } from 'agent-spiffe';
import { createFetch, createServer, peerOf } from 'agent-spiffe/http';
import { FakeClock, TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { type Logger, SILENT } from '#lib/log.js';
import { DEFAULT_NAMES } from '#lib/sources/files/names.js';
import { openFiles } from '#lib/sources/files/open.js';
import { readSet } from '#lib/sources/files/read-set.js';
import { FilesX509Source } from '#lib/sources/files/x509-source.js';
import { createAuthority } from '#lib/testing/authority.js';
import { subjectAltName } from '#lib/testing/extensions.js';
import { listen } from '../../support/listen.js';
import { memoryLogger } from '../../support/memory-logger.js';
import { refusal } from '../../support/refusal.js';
import { rejection } from '../../support/rejection.js';
import { nextState } from '../../support/states.js';
import {
  certificatePems,
  keyPem,
  pemsOf,
  QUICK_CLOCK,
  ScratchDirectory,
  swapGeneration,
  writeInPlace,
} from '../../support/svid-files.js';
import { closeServer } from '../../support/web.js';

const ID = 'spiffe://example.org/agent';
const run = promisify(execFile);
const ca = TestCa.create('example.org');
const partner = TestCa.create('partner.example');

const isNow = (svid: X509Svid) => (snapshot: { readonly svid: X509Svid | undefined }) =>
  snapshot.svid?.serialNumber === svid.serialNumber;

const opened = (path: string, logger: Logger = SILENT): ReturnType<typeof openFiles> =>
  openFiles(path, { timeoutMs: 100_000, logger, clock: QUICK_CLOCK });

describe('a workload from files', () => {
  it('has the SVID, the bundle of its trust domain and those of federated ones', async () => {
    using dir = new ScratchDirectory();
    const issued = TestCa.create('example.org', { intermediate: true });
    const svid = issued.issue(ID);
    writeInPlace(dir.path, pemsOf(svid, issued, [partner]));
    await using workload = await Workload.openFiles(dir.path);
    expect(workload.state).to.equal('ready');
    expect(workload.id.toString()).to.equal(ID);
    expect(workload.x509.svid().certificates).to.deep.equal(svid.certificates);
    expect(workload.x509.svid().certificates).to.have.length(2);
    expect(workload.x509.svid().privateKey.equals(svid.privateKey)).to.equal(true);
    expect(workload.x509.svids()).to.deep.equal([workload.x509.svid()]);
    for (const { trustDomain, bundle } of [issued, partner])
      expect(workload.x509.bundles.get(trustDomain)?.equals(bundle)).to.equal(true);
    expect(workload.x509.bundles.get('other.example')).to.equal(undefined);
  });

  it('takes an authority that says nothing of a trust domain', async () => {
    using dir = new ScratchDirectory();
    const { certificate } = createAuthority(ca.trustDomain, {
      now: new Date(),
      change: (fields) => ({
        ...fields,
        extensions: [
          ...fields.extensions.slice(0, -1),
          subjectAltName({ uris: ['https://ca.example.org'] }),
        ],
      }),
    });
    const pems = pemsOf(ca.issue(ID), ca);
    writeInPlace(dir.path, { ...pems, bundle: pems.bundle + certificatePems([certificate]) });
    await using workload = await Workload.openFiles(dir.path);
    expect(workload.x509.bundles.get('example.org')?.authorities).to.have.length(2);
  });

  it('is an identity like any other: it serves and calls over mutual TLS', async () => {
    using dir = new ScratchDirectory();
    writeInPlace(dir.path, pemsOf(ca.issue(ID), ca));
    await using workload = await Workload.openFiles(dir.path);
    const server = createServer(workload, { allow: ID }, (req, res) => {
      res.end(`hello ${peerOf(req).id}`);
    });
    const origin = `https://localhost:${await listen(server)}`;
    await using fetch = createFetch(workload, { peers: { [origin]: ID } });
    expect(await (await fetch(origin)).text()).to.equal(`hello ${ID}`);
    await closeServer(server);
  });

  it('takes the names that it is given', async () => {
    using dir = new ScratchDirectory();
    const { svid, key, bundle, federated } = pemsOf(ca.issue(ID), ca, [partner]);
    writeFileSync(dir.file('tls.crt'), svid);
    writeFileSync(dir.file('tls.key'), key);
    writeFileSync(dir.file('ca.crt'), bundle);
    mkdirSync(dir.file('others'));
    writeFileSync(dir.file('others', 'partner.example.pem'), federated['partner.example'] ?? '');
    const names = { svid: 'tls.crt', key: 'tls.key', bundle: 'ca.crt', federated: 'others' };
    await using workload = await Workload.openFiles(dir.path, { names });
    expect(workload.x509.bundles.get('partner.example')?.equals(partner.bundle)).to.equal(true);
  });

  it('refuses options that it cannot use, before it reads anything', async () => {
    const bad: readonly (readonly [string, object, RegExp])[] = [
      ['/x', { names: { svid: '../svid.pem' } }, /no plain name for svid/],
      ['/x', { names: { key: 'a/b' } }, /no plain name for key/],
      ['/x', { names: { bundle: '..data' } }, /no plain name for bundle/],
      ['/x', { names: { bundle: '' } }, /no plain name for bundle/],
      ['/x', { names: { key: 'k'.repeat(201) } }, /no plain name for key/],
      ['/x', { names: { bundle: 5 } }, /no plain name for bundle/],
      ['/x', { names: { bundle: 'svid.pem' } }, /two of the names are the same/],
      ['/x', { names: { cert: 'svid.pem' } }, /there is no name "cert"/],
      ['/x', { pollMs: 0 }, /as pollMs/],
      ['/x', { timeoutMs: 0 }, /timeoutMs is a number/],
      ['/x', { logger: {} }, /no method debug/],
      ['', {}, /no path of a directory/],
      ['a\0b', {}, /no path of a directory/],
      [5 as unknown as string, {}, /no path of a directory/],
    ];
    for (const [directory, options, says] of bad) {
      const error = await rejection(
        'ERR_SPIFFE_OPTION_INVALID',
        Workload.openFiles(directory, options),
      );
      expect(error.message).to.match(says);
    }
  });

  it('waits for the files, and ends the wait with the reason of its signal', async () => {
    using dir = new ScratchDirectory();
    const opening = Workload.openFiles(dir.file('later'), { pollMs: 20 });
    mkdirSync(dir.file('later'));
    writeInPlace(dir.file('later'), pemsOf(ca.issue(ID), ca));
    await using workload = await opening;
    expect(workload.state).to.equal('ready');

    const reason = new Error('enough');
    for (const signal of [AbortSignal.abort(reason), abortSoon(reason)]) {
      const aborted = Workload.openFiles(dir.file('never'), { signal });
      expect(await aborted.catch((thrown: unknown) => thrown)).to.equal(reason);
    }
  });

  it('says that the time was too short when it has read nothing yet', async () => {
    using dir = new ScratchDirectory();
    const clock = new FakeClock();
    const opening = openFiles(dir.path, { timeoutMs: 1000, logger: SILENT, clock });
    clock.advance(1000);
    const error = await rejection('ERR_SPIFFE_OPEN_TIMEOUT', opening);
    expect(error.message).to.match(/within 1000 ms: they could not be read in that time/);
  });

  it('takes two hundred bundles, and not one more', async () => {
    using dir = new ScratchDirectory();
    writeInPlace(dir.path, pemsOf(ca.issue(ID), ca, [partner]));
    for (let at = 1; at < 200; at++) writeFileSync(dir.file('bundles', `${at}.pem`), '');
    const { x509, close } = await opened(dir.path);
    expect(x509.bundles.get('partner.example')?.equals(partner.bundle)).to.equal(true);
    close();
  });

  it('finds its files wherever the process goes', async () => {
    using dir = new ScratchDirectory();
    writeInPlace(dir.path, pemsOf(ca.issue(ID), ca));
    const before = process.cwd();
    process.chdir(dirname(dir.path));
    try {
      const { x509, close } = await opened(relative(process.cwd(), dir.path));
      process.chdir('/');
      const svid = ca.issue(ID);
      writeInPlace(dir.path, pemsOf(svid, ca));
      await nextState(x509, isNow(svid));
      close();
    } finally {
      process.chdir(before);
    }
  });

  it('says that there are no JWT-SVIDs in files', async () => {
    using dir = new ScratchDirectory();
    writeInPlace(dir.path, pemsOf(ca.issue(ID), ca));
    await using workload = await Workload.openFiles(dir.path);
    refusal(
      'ERR_SPIFFE_OPTION_INVALID',
      'open the workload with Workload.open',
      () => workload.jwt,
    );
  });

  it('warns once of a key that others may read, and uses it', async () => {
    using dir = new ScratchDirectory();
    writeInPlace(dir.path, pemsOf(ca.issue(ID), ca));
    const logger = memoryLogger();
    const { x509, close } = await opened(dir.path, logger);
    expect(logger.lines).to.deep.equal([]);
    for (const mode of [0o640, 0o604, 0o640]) {
      chmodSync(dir.file('svid_key.pem'), mode);
      const svid = ca.issue(ID);
      writeInPlace(dir.path, pemsOf(svid, ca));
      await nextState(x509, isNow(svid));
    }
    close();
    expect(logger.at('warn')).to.have.length(1);
    expect(logger.at('warn')[0]?.fields).to.include({ mode: '640' });
    expect(logger.at('warn')[0]?.message).to.match(/svid_key\.pem.*chmod 600/);
  });

  it('shows its key in nothing that is printed or serialised', async () => {
    using dir = new ScratchDirectory();
    const svid = ca.issue(ID);
    writeInPlace(dir.path, pemsOf(svid, ca));
    await using workload = await Workload.openFiles(dir.path);
    const shown = [
      inspect(workload, { depth: 12, showHidden: true }),
      JSON.stringify(workload),
    ].join();
    for (const line of keyPem(svid).split('\n').slice(1, -2)) expect(shown).not.to.include(line);
    expect(JSON.parse(JSON.stringify(workload))).to.deep.include({ address: dir.path });
  });
});

describe('a change of the files', () => {
  for (const [how, write] of [
    ['each file written in its place, as spiffe-helper does', writeInPlace],
    ['all files by a swap of ..data, as Kubernetes does', swapGeneration],
  ] as const) {
    it(`is taken up whole: ${how}`, async () => {
      using dir = new ScratchDirectory();
      write(dir.path, pemsOf(ca.issue(ID), ca));
      const { x509, close } = await opened(dir.path);
      for (const issuer of [ca, TestCa.create('example.org'), TestCa.create('example.org')]) {
        const svid = issuer.issue(ID);
        write(dir.path, pemsOf(svid, issuer, [partner]));
        const { bundles, state } = await nextState(x509, isNow(svid));
        expect(state).to.equal('ready');
        expect(bundles.get('example.org')?.equals(issuer.bundle)).to.equal(true);
      }
      close();
    });
  }

  it('that leaves a part as it was leaves its object, and one that leaves all is none', async () => {
    using dir = new ScratchDirectory();
    const svid = ca.issue(ID);
    writeInPlace(dir.path, pemsOf(svid, ca, [partner]));
    const { x509, close } = await opened(dir.path);
    const before = x509.now;
    writeInPlace(dir.path, pemsOf(svid, ca, [partner]));
    const other = TestCa.create('other.example');
    writeInPlace(dir.path, pemsOf(svid, ca, [partner, other]));
    const after = await nextState(
      x509,
      ({ bundles }) => bundles.get('other.example') !== undefined,
    );
    expect(after.sequence).to.equal(before.sequence + 1);
    expect(after.svid).to.equal(before.svid);
    expect(after.bundles.get('partner.example')).to.equal(before.bundles.get('partner.example'));
    rmSync(dir.file('bundles'), { recursive: true });
    const last = await nextState(x509, ({ bundles }) => bundles.get('other.example') === undefined);
    expect(last.state).to.equal('ready');
    expect(last.bundles.get('partner.example')).to.equal(undefined);
    close();
  });

  it('that falls into a look is not lost', async () => {
    using dir = new ScratchDirectory();
    for (let ticks = 0; ticks < 24; ticks++) {
      writeInPlace(dir.path, pemsOf(ca.issue(ID), ca));
      const x509 = new FilesX509Source({
        directory: dir.path,
        names: DEFAULT_NAMES,
        pollMs: 2 ** 30,
        clock: QUICK_CLOCK,
        logger: SILENT,
      });
      x509.start();
      for (let tick = 0; tick < ticks; tick++) await new Promise((done) => setImmediate(done));
      const svid = ca.issue(ID);
      writeInPlace(dir.path, pemsOf(svid, ca));
      await nextState(x509, isNow(svid), 5000);
      x509.close();
    }
  });

  it('that is being looked at when the end comes changes nothing any more', async () => {
    using dir = new ScratchDirectory();
    writeInPlace(dir.path, pemsOf(ca.issue(ID), ca));
    for (const directory of [dir.path, dir.file('nowhere')]) {
      const clock = new FakeClock();
      const options = { directory, names: DEFAULT_NAMES, pollMs: 1000, clock, logger: SILENT };
      const x509 = new FilesX509Source(options);
      x509.start();
      x509.close();
      for (let more = 0; more < 5; more++) await readSet(dir.path, DEFAULT_NAMES);
      expect(x509.state).to.equal('closed');
      expect(clock.pendingTimers).to.equal(0);
    }
  });

  it('of which the system tells nothing is found by looking now and then', async () => {
    using dir = new ScratchDirectory();
    mkdirSync(dir.file('a'));
    mkdirSync(dir.file('b'));
    const clock = new FakeClock();
    const [one, two] = [ca.issue(ID), ca.issue(ID)];
    writeInPlace(dir.file('a'), pemsOf(one, ca));
    writeInPlace(dir.file('b'), pemsOf(two, ca));
    symlinkSync('a', dir.file('now'));
    const { x509, close } = await openFiles(dir.file('now'), {
      timeoutMs: 10_000,
      logger: SILENT,
      clock,
      pollMs: 7000,
    });
    expect(clock.pendingTimers).to.equal(1);
    // Who watches the directory behind a link does not see the link move.
    symlinkSync('b', dir.file('next'));
    renameSync(dir.file('next'), dir.file('now'));
    clock.advance(6999);
    expect(x509.svid().serialNumber).to.equal(one.serialNumber);
    clock.advance(1);
    await nextState(x509, isNow(two));
    close();
    expect(clock.pendingTimers).to.equal(0);
  });

  it('is missed when nothing is written any more: the SVID expires, the state is stale', async () => {
    using dir = new ScratchDirectory();
    const clock = new FakeClock();
    const svid = ca.issue(ID, { ttlMs: 60_000 });
    writeInPlace(dir.path, pemsOf(svid, ca));
    const logger = memoryLogger();
    const { x509, close } = await openFiles(dir.path, {
      timeoutMs: 10_000,
      logger,
      clock,
      pollMs: 1000,
    });
    const now = (async () => {
      for await (const { state } of x509.updates()) if (state === 'stale') return;
    })();
    clock.advance(svid.notAfter.getTime() - clock.now() + 1);
    refusal('ERR_SPIFFE_SVID_EXPIRED', 'has expired', () => x509.svid());
    while (x509.state === 'ready') {
      await new Promise((resolve) => setImmediate(resolve));
      clock.advance(250);
    }
    await now;
    expect(logger.at('warn')).to.have.length(1);
    expect(logger.at('warn')[0]?.message).to.match(/has expired at/);
    close();
  });

  it('is told to be found late where the system cannot tell of it', async () => {
    using dir = new ScratchDirectory();
    symlinkSync('loop', dir.file('loop'));
    const logger = memoryLogger();
    const options = { logger, timeoutMs: 300, clock: QUICK_CLOCK, pollMs: 100 };
    await rejection('ERR_SPIFFE_OPEN_TIMEOUT', openFiles(dir.file('loop'), options));
    const told = logger.lines.filter(({ message }) => message.includes('tells of no changes'));
    expect(told).to.have.length(1);
    expect(told[0]?.message).to.match(/ELOOP.*within 100 ms/);
  });
});

describe('the end of a workload from files', () => {
  it('is told to readers, and leaves no SVID', async () => {
    using dir = new ScratchDirectory();
    writeInPlace(dir.path, pemsOf(ca.issue(ID), ca));
    const workload = await Workload.openFiles(dir.path);
    const states: string[] = [];
    const reading = (async () => {
      for await (const { state } of workload.updates()) states.push(state);
    })();
    await new Promise((resolve) => setImmediate(resolve));
    await workload.close();
    await workload.close();
    await reading;
    expect(states).to.deep.equal(['ready', 'closed']);
    refusal('ERR_SPIFFE_SOURCE_CLOSED', dir.path, () => workload.x509.svid());
    expect(workload.x509.bundles.get('example.org')).to.equal(undefined);
  });

  it('leaves nothing open: a process that closed its workloads ends by itself', async () => {
    using dir = new ScratchDirectory();
    writeInPlace(dir.path, pemsOf(ca.issue(ID), ca));
    const script = `
      import { Workload } from 'agent-spiffe';
      const [dir] = process.argv.slice(1);
      const open = await Workload.openFiles(dir);
      const closing = await Workload.openFiles(dir);
      await closing.close();
      await Workload.openFiles(dir + '/nowhere', { timeoutMs: 50 }).catch(() => {});
      await Workload.openFiles(dir + '/nowhere', { signal: AbortSignal.timeout(20) }).catch(() => {});
      const kept = process.getActiveResourcesInfo().filter((kind) => /Timeout|FSEvent/.test(kind)).length;
      await open.close();
      const began = performance.now();
      process.on('exit', () => console.log(JSON.stringify({ kept, late: performance.now() - began > 500 })));
    `;
    const { stdout } = await run(
      process.execPath,
      ['--input-type=module', '--eval', script, dir.path],
      { cwd: fileURLToPath(new URL('../../..', import.meta.url)) },
    );
    expect(JSON.parse(stdout)).to.deep.equal({ kept: 2, late: false });
  });
});

function abortSoon(reason: Error): AbortSignal {
  const controller = new AbortController();
  setImmediate(() => controller.abort(reason));
  return controller.signal;
}
