import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inspect, promisify } from 'node:util';
import {
  type SourceState,
  type X509Svid as Svid,
  SvidFileWriter,
  type SvidFileWriterOptions,
  Workload,
  X509Bundle,
  X509Bundles,
  X509Svid,
} from 'agent-spiffe';
import { FakeClock, TestCa, WorkloadApiServer } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { readPem } from '#lib/internal/pem.js';
import { FilesFollower } from '#lib/sources/files/follow.js';
import { DEFAULT_NAMES } from '#lib/sources/files/names.js';
import { readSet } from '#lib/sources/files/read-set.js';
import { type FileToWrite, removeSet, replaceSet } from '#lib/sources/files/replace-set.js';
import { memoryLogger } from '../../support/memory-logger.js';
import { openssl } from '../../support/openssl-verdicts.js';
import { rejection } from '../../support/rejection.js';
import { emptyBundle, StaticX509Source, staticIdentity } from '../../support/static-identity.js';
import {
  certificatePems,
  expectOneGeneration,
  keyPem,
  pemsOf,
  ScratchDirectory,
  swapGeneration,
  writeInPlace,
} from '../../support/svid-files.js';

const ID = 'spiffe://example.org/agent';
const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const run = promisify(execFile);
const ca = TestCa.create('example.org');
const partner = TestCa.create('partner.example');

const read = (dir: ScratchDirectory, ...names: string[]): string =>
  readFileSync(dir.file(...names), 'utf8');
const modeOf = (dir: ScratchDirectory, name: string): number =>
  statSync(dir.file(name)).mode & 0o777;

/** All that lies in the directory, generations by their kind. */
const listing = (dir: ScratchDirectory): readonly string[] =>
  readdirSync(dir.path).map((name) => name.replace(/^\.\.svid-\w+$/, '..svid-*'));
const WHOLE = ['..data', '..svid-*', 'bundles', 'svid.pem', 'svid_bundle.pem', 'svid_key.pem'];
const WITHOUT_OTHERS = WHOLE.filter((name) => name !== 'bundles');

/** The first state whose files are in place and that is as asked for. */
async function written(writer: SvidFileWriter, svid: Svid | undefined): Promise<void> {
  for await (const snapshot of writer.updates({ signal: AbortSignal.timeout(5000) }))
    if (snapshot.svid === svid) return;
}

const file = (path: string): FileToWrite => ({ path, text: 'text', mode: 0o644 });

describe('a writer of SVID files', () => {
  it('writes what OpenSSL finds good: a chain, its own key in PKCS#8, a bundle that verifies it', async () => {
    using dir = new ScratchDirectory();
    const issuer = TestCa.create('example.org', { intermediate: true });
    const other = TestCa.create('other.example');
    const identity = staticIdentity(issuer, ID, [partner, other]);
    await using writer = await SvidFileWriter.open(identity, dir.path);
    expect(readdirSync(dir.file('bundles'))).to.deep.equal([
      'other.example.pem',
      'partner.example.pem',
    ]);
    expect(writer.directory).to.equal(dir.path);
    const [svid, key, bundle] = ['svid.pem', 'svid_key.pem', 'svid_bundle.pem'].map((name) =>
      dir.file(name),
    ) as [string, string, string];
    const verified = openssl([
      'verify',
      '-x509_strict',
      '-CAfile',
      bundle,
      '-untrusted',
      svid,
      svid,
    ]);
    expect(verified.text).to.match(/svid\.pem: OK/);
    const foreign = dir.file('bundles', 'partner.example.pem');
    expect(openssl(['verify', '-CAfile', foreign, '-untrusted', svid, svid]).ok).to.equal(false);
    expect(openssl(['pkey', '-in', key, '-check', '-noout']).text).to.match(/Key is valid/);
    const [ofKey, ofLeaf] = [
      openssl(['pkey', '-in', key, '-pubout']),
      openssl(['x509', '-in', svid, '-noout', '-pubkey']),
    ];
    expect(ofKey).to.deep.equal(ofLeaf);
    expect(read(dir, 'svid_key.pem')).to.match(/^-----BEGIN PRIVATE KEY-----\n/);
    expect(openssl(['x509', '-in', foreign, '-noout', '-ext', 'subjectAltName']).text).to.include(
      'URI:spiffe://partner.example',
    );
  });

  it('closes the key to others and opens the rest, whatever the umask', async () => {
    using dir = new ScratchDirectory();
    const before = process.umask(0o777);
    try {
      await using _ = await SvidFileWriter.open(staticIdentity(ca, ID, [partner]), dir.path);
    } finally {
      process.umask(before);
    }
    expect(modeOf(dir, 'svid_key.pem')).to.equal(0o600);
    for (const name of ['svid.pem', 'svid_bundle.pem', 'bundles/partner.example.pem'])
      expect(modeOf(dir, name), name).to.equal(0o644);
    for (const name of ['..data', 'bundles']) expect(modeOf(dir, name), name).to.equal(0o755);
  });

  it('lets a group read the key where it is told to, and nobody else', async () => {
    using dir = new ScratchDirectory();
    for (const keyMode of [0o600, 0o400, 0o640, 0o440]) {
      await using _ = await SvidFileWriter.open(staticIdentity(ca, ID), dir.path, { keyMode });
      expect(modeOf(dir, 'svid_key.pem')).to.equal(keyMode);
    }
    for (const keyMode of [0o644, 0o604, 0o700, 0o660, 0o200, 0, 0o1600, 1.5, '0600', '0o600']) {
      const options = { keyMode } as unknown as SvidFileWriterOptions;
      const opening = SvidFileWriter.open(staticIdentity(ca, ID), dir.path, options);
      expect((await rejection('ERR_SPIFFE_OPTION_INVALID', opening)).message).to.match(
        /as keyMode/,
      );
    }
  });

  it('is read by Workload.openFiles, federated bundles included, under names of one choosing', async () => {
    using dir = new ScratchDirectory();
    const names = { svid: 'tls.crt', key: 'tls.key', bundle: 'ca.crt', federated: 'others' };
    const identity = staticIdentity(ca, ID, [partner]);
    await using _ = await SvidFileWriter.open(identity, dir.file('made', 'here'), { names });
    await using workload = await Workload.openFiles(dir.file('made', 'here'), { names });
    expect(workload.x509.svid().certificates).to.deep.equal(identity.x509.svid().certificates);
    for (const { trustDomain, bundle } of [ca, partner])
      expect(workload.x509.bundles.get(trustDomain)?.equals(bundle)).to.equal(true);
  });

  it('follows a workload of the Workload API through rotations, and tells of each', async () => {
    using dir = new ScratchDirectory();
    await using api = await WorkloadApiServer.open({
      trustDomain: 'example.org',
      identities: [ID],
      federated: ['partner.example'],
    });
    await using me = await Workload.open({ address: api.address });
    await using writer = await SvidFileWriter.open(me, dir.path);
    const name = lstatSync(dir.file('svid.pem')).ino;
    for (const change of [() => api.rotateSvids(), () => api.rotateCa(), () => api.rotateSvids()]) {
      const before = me.x509.svid();
      change();
      for await (const { svid } of writer.updates()) if (svid !== before) break;
      expect(read(dir, 'svid.pem')).to.equal(certificatePems(me.x509.svid().certificates));
      expect(read(dir, 'svid_key.pem')).to.equal(keyPem(me.x509.svid()));
      expect(read(dir, 'svid_bundle.pem')).to.equal(certificatePems(api.ca.bundle.authorities));
      expect(listing(dir)).to.deep.equal(WHOLE);
      // The names stay; what moves is the link behind them.
      expect(lstatSync(dir.file('svid.pem')).ino).to.equal(name);
    }
  });

  it('leaves no part of an earlier state: names and domains that are gone', async () => {
    using dir = new ScratchDirectory();
    const identity = staticIdentity(ca, ID, [partner]);
    {
      const names = { svid: 'old.pem' };
      await using _ = await SvidFileWriter.open(identity, dir.path, { names });
      expect(listing(dir)).to.include('old.pem');
    }
    await using writer = await SvidFileWriter.open(identity, dir.path);
    expect(listing(dir)).to.deep.equal(WHOLE);
    const svid = ca.issue(ID);
    const empty = X509Bundles.of(ca.bundle, emptyBundle(partner));
    identity.x509.set({ svids: [svid], bundles: empty });
    await written(writer, svid);
    expect(listing(dir)).to.deep.equal(WITHOUT_OTHERS);
  });

  it('follows when only a federated domain comes or goes', async () => {
    using dir = new ScratchDirectory();
    const identity = staticIdentity(ca, ID);
    await using writer = await SvidFileWriter.open(identity, dir.path);
    for (const [others, names] of [
      [[partner], ['partner.example.pem']],
      [
        [partner, TestCa.create('other.example')],
        ['other.example.pem', 'partner.example.pem'],
      ],
      [[partner], ['partner.example.pem']],
    ] as const) {
      const bundles = X509Bundles.of(ca.bundle, ...others.map(({ bundle }) => bundle));
      identity.x509.set({ bundles });
      for await (const now of writer.updates()) if (now.bundles === bundles) break;
      expect(readdirSync(dir.file('bundles'))).to.deep.equal(names);
    }
  });

  it('leaves out a domain whose name is longer than that of a file may be', async () => {
    using dir = new ScratchDirectory();
    const [longest, tooLong] = ['l'.repeat(251), 't'.repeat(252)].map((name) =>
      X509Bundle.fromDer(name, partner.bundleDer),
    ) as [X509Bundle, X509Bundle];
    const bundles = X509Bundles.of(ca.bundle, longest, tooLong);
    const identity = { x509: new StaticX509Source([ca.issue(ID)], bundles) };
    await using _ = await SvidFileWriter.open(identity, dir.path);
    expect(readdirSync(dir.file('bundles'))).to.deep.equal([`${'l'.repeat(251)}.pem`]);
  });

  it('writes nothing for a state that changes nothing in the files', async () => {
    using dir = new ScratchDirectory();
    const identity = staticIdentity(ca, ID);
    await using writer = await SvidFileWriter.open(identity, dir.path);
    const generation = readlinkSync(dir.file('..data'));
    const states: SourceState[] = [];
    const reading = (async () => {
      for await (const { state } of writer.updates()) states.push(state);
    })();
    for (const state of ['stale', 'ready', 'stale', 'closed'] as const)
      identity.x509.set({ state });
    await writer.close();
    await reading;
    expect(states).to.deep.equal(['ready']);
    expect(readlinkSync(dir.file('..data'))).to.equal(generation);
    expect(listing(dir)).to.deep.equal(WITHOUT_OTHERS);
  });

  it('takes the files away when the identity is withdrawn, and writes them when it comes back', async () => {
    using dir = new ScratchDirectory();
    const identity = staticIdentity(ca, ID, [partner]);
    const logger = memoryLogger();
    await using writer = await SvidFileWriter.open(identity, dir.path, { logger });
    writeFileSync(dir.file('README'), 'not ours');
    identity.x509.set({ state: 'revoked' });
    await written(writer, undefined);
    expect(listing(dir)).to.deep.equal(['README']);
    expect(logger.at('warn')).to.have.length(1);
    expect(logger.at('warn')[0]?.message).to.match(/the identity is withdrawn/);
    const svid = ca.issue(ID);
    identity.x509.set({ state: 'ready', svids: [svid], bundles: X509Bundles.of(ca.bundle) });
    await written(writer, svid);
    expect(listing(dir)).to.deep.equal([
      ...WITHOUT_OTHERS.slice(0, 2),
      'README',
      ...WITHOUT_OTHERS.slice(2),
    ]);
    // No authority vouches for it any more.
    identity.x509.set({ bundles: X509Bundles.of(emptyBundle(ca)) });
    for await (const { bundles } of writer.updates())
      if (bundles.get('example.org')?.authorities.length === 0) break;
    expect(listing(dir)).to.deep.equal(['README']);
  });

  it('takes the place of files that another wrote', async () => {
    using dir = new ScratchDirectory();
    writeInPlace(dir.path, { ...pemsOf(ca.issue(ID), ca), federated: {} });
    symlinkSync('nowhere', dir.file('bundles'));
    const identity = staticIdentity(ca, ID, [partner]);
    await using _ = await SvidFileWriter.open(identity, dir.path);
    expect(read(dir, 'svid_key.pem')).to.equal(keyPem(identity.x509.svid()));
    expect(listing(dir)).to.deep.equal(WHOLE);
  });

  it('removes what a crash left behind, keys above all', async () => {
    using dir = new ScratchDirectory();
    mkdirSync(dir.file('..svid-crashed', 'bundles'), { recursive: true });
    writeFileSync(dir.file('..svid-crashed', 'svid_key.pem'), keyPem(ca.issue(ID)));
    symlinkSync('..svid-crashed', dir.file('..svid-link-..data'));
    symlinkSync('..data/svid.pem', dir.file('..svid-link-svid.pem'));
    await using _ = await SvidFileWriter.open(staticIdentity(ca, ID, [partner]), dir.path);
    expect(listing(dir)).to.deep.equal(WHOLE);
  });

  const places: Readonly<Record<string, readonly [RegExp, (dir: ScratchDirectory) => unknown]>> = {
    'a file where the directory should be': [
      /EEXIST|ENOTDIR/,
      (dir) => writeFileSync(dir.file('here'), ''),
    ],
    'a directory where a file should be': [
      /svid\.pem there is a directory; remove it/,
      (dir) => mkdirSync(dir.file('here', 'svid.pem'), { recursive: true }),
    ],
    'a directory of bundles that another wrote': [
      /bundles there is a directory; remove it/,
      (dir) => mkdirSync(dir.file('here', 'bundles'), { recursive: true }),
    ],
    'a volume of Kubernetes': [
      /\.\.data there is that of another writer/,
      (dir) => {
        mkdirSync(dir.file('here', '..2026_01_01'), { recursive: true });
        symlinkSync('..2026_01_01', dir.file('here', '..data'));
      },
    ],
    'a link that leads back to itself': [
      /ELOOP|EEXIST/,
      (dir) => symlinkSync('here', dir.file('here')),
    ],
  };
  for (const [what, [says, make]] of Object.entries(places)) {
    it(`refuses a place that it cannot have, and leaves nothing there: ${what}`, async () => {
      using dir = new ScratchDirectory();
      make(dir);
      const before = readdirSync(dir.path, { recursive: true });
      const opening = SvidFileWriter.open(staticIdentity(ca, ID, [partner]), dir.file('here'));
      expect((await rejection('ERR_SPIFFE_FILES_NOT_WRITTEN', opening)).message).to.match(says);
      expect(readdirSync(dir.path, { recursive: true })).to.deep.equal(before);
    });
  }

  it('refuses options that it cannot use', async () => {
    for (const [directory, options, says] of [
      ['', {}, /no path of a directory/],
      ['x', { names: { svid: '/etc/x' } }, /no plain name/],
      ['x', { timeoutMs: -1 }, /timeoutMs/],
      ['x', { logger: {} }, /no method debug/],
    ] as const) {
      const opening = SvidFileWriter.open(
        staticIdentity(ca, ID),
        directory,
        options as SvidFileWriterOptions,
      );
      expect((await rejection('ERR_SPIFFE_OPTION_INVALID', opening)).message).to.match(says);
    }
  });

  it('waits for an identity, not for ever, and not for one that has ended', async () => {
    using dir = new ScratchDirectory();
    const identity = staticIdentity(ca, ID);
    const svid = identity.x509.svid();
    identity.x509.set({ state: 'pending', svids: [] });
    const late = SvidFileWriter.open(identity, dir.path, { timeoutMs: 20 });
    const error = await rejection('ERR_SPIFFE_OPEN_TIMEOUT', late);
    expect(error.message).to.match(/no X\.509-SVID to write.*within 20 ms: the source is pending/);

    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    const aborted = SvidFileWriter.open(identity, dir.path, { signal });
    expect(await aborted.catch((thrown: unknown) => thrown)).to.equal(reason);

    const opening = SvidFileWriter.open(identity, dir.path);
    identity.x509.set({ state: 'ready', svids: [svid], bundles: X509Bundles.of(ca.bundle) });
    await using _ = await opening;
    expect(read(dir, 'svid_key.pem')).to.equal(keyPem(svid));

    for (const [state, code] of [
      ['failed', 'ERR_SPIFFE_SOURCE_FAILED'],
      ['closed', 'ERR_SPIFFE_SOURCE_CLOSED'],
    ] as const) {
      const ended = staticIdentity(ca, ID);
      ended.x509.set({ state });
      await rejection(code, SvidFileWriter.open(ended, dir.path));
    }
    const alone = { x509: new StaticX509Source([svid], X509Bundles.of(partner.bundle)) };
    const opened = SvidFileWriter.open(alone, dir.path);
    expect((await rejection('ERR_SPIFFE_FILES_NOT_WRITTEN', opened)).message).to.match(/no bundle/);
  });

  it('tries again what fails later, says so once, and leaves the old files until it works', async () => {
    using dir = new ScratchDirectory();
    const clock = new FakeClock();
    const logger = memoryLogger();
    const source = staticIdentity(ca, ID).x509;
    const follower = new FilesFollower({
      source,
      directory: dir.path,
      names: DEFAULT_NAMES,
      keyMode: 0o600,
      clock,
      logger,
    });
    const first = await firstOf(source);
    await follower.begin(first);
    const before = read(dir, 'svid.pem');
    // Something is in the way of the next state, which has a federated bundle.
    mkdirSync(dir.file('bundles'));
    const svid = ca.issue(ID);
    source.set({ svids: [svid], bundles: X509Bundles.of(ca.bundle, partner.bundle) });
    for (let tries = 0; tries < 3; tries++) {
      while (clock.pendingTimers === 0) await new Promise((resolve) => setImmediate(resolve));
      expect(read(dir, 'svid.pem')).to.equal(before);
      expect(listing(dir)).to.deep.equal(WHOLE);
      clock.advance(30_000);
    }
    expect(logger.at('warn')).to.have.length(1);
    expect(logger.at('warn')[0]?.message).to.match(/bundles there is a directory.*tried again/);
    while (clock.pendingTimers === 0) await new Promise((resolve) => setImmediate(resolve));
    rmSync(dir.file('bundles'), { recursive: true });
    clock.advance(30_000);
    for await (const state of follower.updates(undefined)) if (state.svid === svid) break;
    expect(read(dir, 'svid.pem')).to.equal(certificatePems(svid.certificates));
    expect(listing(dir)).to.deep.equal(WHOLE);
    expect(logger.at('info')).to.have.length(1);
    await follower.close();
    expect(clock.pendingTimers).to.equal(0);
  });

  it('ends, with its files in place, when its source breaks', async () => {
    using dir = new ScratchDirectory();
    const identity = staticIdentity(ca, ID);
    const logger = memoryLogger();
    let calls = 0;
    const breaking = new Proxy(identity.x509, {
      get: (target, name) => {
        if (name === 'updates' && ++calls > 1)
          return () => {
            throw new TypeError('broken');
          };
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    await using _ = await SvidFileWriter.open({ x509: breaking }, dir.path, { logger });
    expect(logger.at('error')).to.have.length(1);
    expect(logger.at('error')[0]?.fields).to.deep.equal({ reason: 'broken' });
    expect(listing(dir)).to.deep.equal(WITHOUT_OTHERS);
  });

  it('shows no key in a log or an error', async () => {
    using dir = new ScratchDirectory();
    const logger = memoryLogger();
    const identity = staticIdentity(ca, ID);
    await using writer = await SvidFileWriter.open(identity, dir.path, { logger });
    const key = keyPem(identity.x509.svid()).split('\n').slice(1, -2);
    mkdirSync(dir.file('x', 'svid.pem'), { recursive: true });
    const error = await rejection(
      'ERR_SPIFFE_FILES_NOT_WRITTEN',
      SvidFileWriter.open(identity, dir.file('x')),
    );
    const shown = inspect([writer, error, logger.lines], { depth: 12, showHidden: true });
    for (const line of key) expect(shown).not.to.include(line);
  });
});

describe('files that a writer replaces', () => {
  it('are the old ones, and nothing else is left, when the new ones cannot all be written', async () => {
    using dir = new ScratchDirectory();
    await replaceSet(dir.path, [file('a'), file('b/c')]);
    const before = readdirSync(dir.path, { recursive: true });
    const bad = replaceSet(dir.path, [file('a'), file('b/c'), file('deep/below/c')]);
    await rejection('ERR_SPIFFE_FILES_NOT_WRITTEN', bad);
    expect(readdirSync(dir.path, { recursive: true })).to.deep.equal(before);
  });

  it('are not taken away where another wrote them, nor where there is no directory', async () => {
    using dir = new ScratchDirectory();
    swapGeneration(dir.path, pemsOf(ca.issue(ID), ca, [partner]));
    const before = readdirSync(dir.path, { recursive: true });
    await removeSet(dir.path);
    expect(readdirSync(dir.path, { recursive: true })).to.deep.equal(before);
    await removeSet(dir.file('nowhere'));
    const error = await rejection('ERR_SPIFFE_FILES_NOT_WRITTEN', removeSet(dir.file('svid.pem')));
    expect(error.message).to.match(/ENOTDIR/);
  });

  it('are of one generation for whoever resolves ..data once, at every moment', async () => {
    using dir = new ScratchDirectory();
    const identity = staticIdentity(ca, ID);
    await using writer = await SvidFileWriter.open(identity, dir.path);
    const reader = (async () => {
      let readings = 0;
      for (; readings < 100; readings++) {
        const base = readlinkSync(dir.file('..data'));
        await new Promise((resolve) => setImmediate(resolve));
        const [svid, key, bundle] = ['svid.pem', 'svid_key.pem', 'svid_bundle.pem'].map((name) =>
          readIfThere(dir.file(base, name)),
        );
        if (svid === undefined || key === undefined || bundle === undefined) continue;
        const chain = readPem(svid, 'CERTIFICATE');
        X509Svid.fromDer(Buffer.concat(chain), readPem(key, 'PRIVATE KEY')[0] as Uint8Array);
        expectOneGeneration(chain, X509Bundle.fromPem('example.org', bundle));
      }
    })();
    for (let rotation = 0; rotation < 25; rotation++) {
      const issuer = TestCa.create('example.org');
      const svid = issuer.issue(ID);
      identity.x509.set({ svids: [svid], bundles: X509Bundles.of(issuer.bundle) });
      await written(writer, svid);
    }
    await reader;
    expect(listing(dir)).to.deep.equal(WITHOUT_OTHERS);
  });

  it('are the old ones or the new ones after a crash at any moment', async () => {
    using dir = new ScratchDirectory();
    await (await SvidFileWriter.open(staticIdentity(ca, ID), dir.path)).close();
    for (let crash = 0; crash < 4; crash++) {
      const child = crasher(dir.path);
      await once(child.stdout as NodeJS.ReadableStream, 'data');
      // No wait of a length that matters: wherever it is in its loop, it dies there.
      await new Promise((resolve) => setTimeout(resolve, 5 + crash * 11));
      child.kill('SIGKILL');
      await once(child, 'exit');
      const set = await readSet(dir.path, DEFAULT_NAMES);
      const chain = readPem(Buffer.from(set.svid).toString(), 'CERTIFICATE');
      const [key] = readPem(Buffer.from(set.key).toString(), 'PRIVATE KEY');
      X509Svid.fromDer(Buffer.concat(chain), key as Uint8Array);
      expectOneGeneration(chain, X509Bundle.fromPem('example.org', set.bundle));
    }
    await (await SvidFileWriter.open(staticIdentity(ca, ID), dir.path)).close();
    expect(listing(dir)).to.deep.equal(WITHOUT_OTHERS);
  });
});

describe('the end of a writer of SVID files', () => {
  it('leaves the files, and writes no more', async () => {
    using dir = new ScratchDirectory();
    const identity = staticIdentity(ca, ID);
    const writer = await SvidFileWriter.open(identity, dir.path);
    await writer.close();
    await writer.close();
    const before = read(dir, 'svid.pem');
    identity.x509.set({ svids: [ca.issue(ID)] });
    identity.x509.set({ state: 'revoked' });
    await new Promise((resolve) => setImmediate(resolve));
    expect(read(dir, 'svid.pem')).to.equal(before);
    expect(identity.x509.watchers).to.equal(0);
  });

  it('leaves nothing open: a process that closed its writers ends by itself', async () => {
    using dir = new ScratchDirectory();
    writeInPlace(dir.path, pemsOf(ca.issue(ID), ca));
    const script = `
      import { SvidFileWriter, Workload } from 'agent-spiffe';
      const [dir] = process.argv.slice(1);
      const me = await Workload.openFiles(dir);
      const writer = await SvidFileWriter.open(me, dir + '/copy');
      await SvidFileWriter.open(me, dir + '/svid.pem').catch(() => {});
      await me.close();
      await writer.close();
      const began = performance.now();
      process.on('exit', () => console.log(performance.now() - began < 500));
    `;
    const args = ['--input-type=module', '--eval', script, dir.path];
    const { stdout } = await run(process.execPath, args, { cwd: ROOT });
    expect(stdout).to.equal('true\n');
    expect(readdirSync(dir.file('copy'))).to.include('svid_key.pem');
  });
});

/** A process that writes one generation after another until it is killed. */
function crasher(directory: string): ChildProcess {
  const script = `
    import { TestCa } from 'agent-spiffe/testing';
    import { X509Bundles } from 'agent-spiffe';
    import { pathToFileURL } from 'node:url';
    const [dir, root] = process.argv.slice(1);
    const { replaceSet } = await import(pathToFileURL(root + 'dist/sources/files/replace-set.js'));
    const { svidFiles } = await import(pathToFileURL(root + 'dist/sources/files/svid-files.js'));
    const { DEFAULT_NAMES: names } = await import(pathToFileURL(root + 'dist/sources/files/names.js'));
    const sets = Array.from({ length: 10 }, () => {
      const ca = TestCa.create('example.org');
      const svid = ca.issue('${ID}');
      return svidFiles({ svid, bundles: X509Bundles.of(ca.bundle) }, { names, keyMode: 0o600 });
    });
    console.log('begun');
    for (let at = 0; ; at++) await replaceSet(dir, sets[at % sets.length]);
  `;
  return spawn(
    process.execPath,
    ['--input-type=module', '--eval', script, directory, join(ROOT, '/')],
    {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

async function firstOf(source: StaticX509Source) {
  for await (const snapshot of source.updates()) return snapshot;
  throw new Error('the source ended');
}
