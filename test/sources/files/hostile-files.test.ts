import { execFileSync } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import net from 'node:net';
import { inspect } from 'node:util';
import { Workload } from 'agent-spiffe';
import { FakeClock, TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { SILENT } from '#lib/log.js';
import { openFiles } from '#lib/sources/files/open.js';
import { memoryLogger } from '../../support/memory-logger.js';
import { rejection } from '../../support/rejection.js';
import { nextState } from '../../support/states.js';
import {
  certificatePems,
  keyPem,
  pemsOf,
  QUICK_CLOCK,
  ScratchDirectory,
  writeInPlace,
} from '../../support/svid-files.js';

const ID = 'spiffe://example.org/agent';
const ca = TestCa.create('example.org');
const partner = TestCa.create('partner.example');
const rsa = TestCa.create('example.org', { keyType: 'rsa-2048' });
const past = TestCa.create('example.org', {
  now: () => new Date(Date.now() - 10_000),
  ttlMs: 1000,
});

const good = pemsOf(ca.issue(ID), ca, [partner]);
const half = (text: string): string => text.slice(0, text.length / 2);
const one = createPrivateKey(good.key);

interface Defect {
  /** What an error must say. */
  readonly says: RegExp;
  readonly make: (dir: ScratchDirectory) => unknown;
}

const put = (name: string, content: string | Uint8Array, says: RegExp): Defect => ({
  says,
  make: (dir) => writeFileSync(dir.file(name), content),
});
const gone = (name: string): Defect => ({
  says: new RegExp(`${name}": ENOENT; is it written there`),
  make: (dir) => rmSync(dir.file(name)),
});
const instead = (name: string, says: RegExp, make: (path: string) => unknown): Defect => ({
  says,
  make: (dir) => {
    rmSync(dir.file(name));
    return make(dir.file(name));
  },
});
const otherKey = (options: object): string =>
  one.export({ format: 'pem', ...options } as never) as string;
const CONVERT = /must be unencrypted PKCS#8.*openssl pkcs8 -topk8 -nocrypt/;

/** One defect each, made in a directory of good files. */
const DEFECTS: Readonly<Record<string, Defect>> = {
  'no SVID': gone('svid.pem'),
  'no key': gone('svid_key.pem'),
  'no bundle': gone('svid_bundle.pem'),
  'no directory': {
    says: /ENOENT/,
    make: ({ path }) => renameSync(path, `${path}-elsewhere`),
  },
  'an SVID cut to nothing': put('svid.pem', '', /svid\.pem.*no CERTIFICATE block/),
  'half an SVID': put('svid.pem', half(good.svid), /svid\.pem.*no CERTIFICATE block/),
  'half a key': put('svid_key.pem', half(good.key), /svid_key\.pem.*no PRIVATE KEY block/),
  'half a bundle': put('svid_bundle.pem', good.bundle + half(good.bundle), /broken block/),
  'an SVID in DER': put('svid.pem', ca.issue(ID).certificates[0] as Uint8Array, /no CERTIFICATE/),
  'an SVID that is a key': put('svid.pem', good.key, /PRIVATE KEY block where CERTIFICATE/),
  'a key that is an SVID': put('svid_key.pem', good.svid, /CERTIFICATE block where PRIVATE KEY/),
  'two keys': put('svid_key.pem', good.key + good.key, /2 keys; one is needed/),
  'the key of another SVID': put('svid_key.pem', keyPem(ca.issue(ID)), /does not belong/),
  'a key that is broken inside': put(
    'svid_key.pem',
    '-----BEGIN PRIVATE KEY-----\nMAMCAQA=\n-----END PRIVATE KEY-----\n',
    /not unencrypted PKCS#8 DER/,
  ),
  'a key in SEC1': put('svid_key.pem', otherKey({ type: 'sec1' }), CONVERT),
  'a key in PKCS#1': put(
    'svid_key.pem',
    rsa.issue(ID).privateKey.export({ type: 'pkcs1', format: 'pem' }),
    CONVERT,
  ),
  'an encrypted key': put(
    'svid_key.pem',
    otherKey({ type: 'pkcs8', cipher: 'aes-128-cbc', passphrase: 'x' }),
    CONVERT,
  ),
  'a certificate that is no SVID': put(
    'svid.pem',
    certificatePems(ca.bundle.authorities),
    /has no path|is a CA's/,
  ),
  'seventeen certificates': put('svid.pem', good.svid.repeat(17), /17 certificates, more than 16/),
  'an SVID that has expired': {
    says: /has expired at/,
    make: ({ path }) => writeInPlace(path, pemsOf(past.issue(ID), past)),
  },
  "a bundle with another trust domain's authority": put(
    'svid_bundle.pem',
    good.bundle + certificatePems(partner.bundle.authorities),
    /authority of "spiffe:\/\/partner\.example".*include_federated_domains = false/,
  ),
  'a directory in place of a file': instead('svid.pem', /no regular file/, (path) =>
    mkdirSync(path),
  ),
  'a FIFO to which nobody writes': instead('svid_key.pem', /no regular file/, (path) =>
    execFileSync('mkfifo', [path]),
  ),
  'a device without an end': instead('svid_bundle.pem', /no regular file/, (path) =>
    symlinkSync('/dev/zero', path),
  ),
  'a socket': instead('svid.pem', /ENXIO|no regular file/, async (path) => {
    const server = net.createServer().listen(path);
    await once(server, 'listening');
    // The file of the socket goes with the server.
    server.unref();
  }),
  'a file of the kernel, which has no size': instead('svid.pem', /it grew while/, (path) =>
    symlinkSync('/proc/version', path),
  ),
  'a link to itself': instead('svid.pem', /ELOOP; does a link lead back/, (path) =>
    symlinkSync(path, path),
  ),
  'a link to nowhere': instead('svid.pem', /ENOENT/, (path) => symlinkSync('nowhere', path)),
  'a file of a gigabyte': {
    says: /larger than 6291456 bytes/,
    make: (dir) => truncateSync(dir.file('svid.pem'), 2 ** 30),
  },
  'a file of bundles in place of their directory': {
    says: /bundles": ENOTDIR \[/,
    make: (dir) => {
      rmSync(dir.file('bundles'), { recursive: true });
      writeFileSync(dir.file('bundles'), '');
    },
  },
  'more bundles than anyone needs': {
    says: /holds 201 bundles, above the limit of 200/,
    make: (dir) => {
      for (let at = 0; at < 200; at++) writeFileSync(dir.file('bundles', `${at}.pem`), '');
    },
  },
  'a link ..data to nowhere': {
    says: /\.\.data": ENOENT/,
    make: (dir) => symlinkSync('nowhere', dir.file('..data')),
  },
  // Nothing is closed to root.
  ...(process.getuid?.() === 0
    ? {}
    : {
        'a key closed to us': {
          says: /EACCES; may this process read it/,
          make: (dir: ScratchDirectory) => chmodSync(dir.file('svid_key.pem'), 0),
        },
      }),
};

/** As they are in files, and no part of them may be printed. */
const SECRETS = [good.key, otherKey({ type: 'sec1' })].flatMap((pem) =>
  pem.split('\n').filter((line) => line.length > 30 && !line.startsWith('-')),
);

describe('files that are hostile or half written', () => {
  for (const [title, { make, says }] of Object.entries(DEFECTS)) {
    it(`leave the last good SVID, once they are good again they serve: ${title}`, async () => {
      using dir = new ScratchDirectory();
      writeInPlace(dir.path, good);
      const logger = memoryLogger();
      const options = { logger, pollMs: 500, timeoutMs: 50_000, clock: QUICK_CLOCK };
      const { x509, close } = await openFiles(dir.path, options);
      const { certificates } = x509.svid();
      await make(dir);
      const { svid, bundles } = await nextState(x509, ({ state }) => state === 'stale');
      expect(svid?.certificates).to.deep.equal(certificates);
      expect(bundles.get('partner.example')?.equals(partner.bundle)).to.equal(true);
      expect(x509.svid()).to.equal(svid);
      expect(logger.at('warn').map(({ message }) => message)).to.satisfy(
        ([line, ...more]: string[]) => says.test(line ?? '') && more.length === 0,
        inspect(logger.lines),
      );

      rmSync(dir.path, { recursive: true, force: true });
      mkdirSync(dir.path);
      const next = pemsOf(ca.issue(ID), ca, [partner]);
      writeInPlace(dir.path, next);
      const again = await nextState(x509, ({ state }) => state === 'ready');
      close();
      expect(certificatePems(again.svid?.certificates ?? [])).to.equal(next.svid);
      expect(logger.at('warn')).to.have.length(1);
      const printed = inspect(logger.lines, { depth: 9 });
      for (const secret of SECRETS) expect(printed).not.to.include(secret);
      rmSync(`${dir.path}-elsewhere`, { recursive: true, force: true });
    });

    it(`are why opening ends in time, and not before they are mended: ${title}`, async () => {
      using dir = new ScratchDirectory();
      writeInPlace(dir.path, good);
      await make(dir);
      const clock = new FakeClock();
      // The time is up as soon as the fault is known.
      const warn = (): unknown => setImmediate(() => clock.advance(1000));
      const options = { logger: { ...SILENT, warn }, timeoutMs: 1000, clock };
      const error = await rejection('ERR_SPIFFE_OPEN_TIMEOUT', openFiles(dir.path, options));
      expect(error.message).to.match(says);
      expect((error.cause as { readonly code: string }).code).to.equal('ERR_SPIFFE_FILES_INVALID');
      const printed = inspect(error, { depth: 9 });
      for (const secret of SECRETS) expect(printed).not.to.include(secret);

      const opening = Workload.openFiles(dir.path, { pollMs: 50 });
      rmSync(dir.path, { recursive: true, force: true });
      mkdirSync(dir.path);
      writeInPlace(dir.path, good);
      await using workload = await opening;
      expect(workload.id.toString()).to.equal(ID);
      rmSync(`${dir.path}-elsewhere`, { recursive: true, force: true });
    });
  }

  const foreign: Readonly<Record<string, Defect>> = {
    'is no PEM': put('bundles/bad.example.pem', 'nothing', /bad\.example\.pem.*no CERTIFICATE/),
    'is half written': put('bundles/bad.example.pem', half(good.bundle), /no CERTIFICATE block/),
    'has a name that is none': put('bundles/BAD.pem', good.bundle, /not that of a trust domain/),
    'is named after its ID': put(
      'bundles/spiffe:bad.pem',
      good.bundle,
      /not that of a trust domain/,
    ),
    'is for our own trust domain': put(
      'bundles/example.org.pem',
      good.bundle,
      /example\.org is our own trust domain/,
    ),
    "holds another domain's authority": put(
      'bundles/bad.example.pem',
      good.federated['partner.example'] as string,
      /authority of "spiffe:\/\/partner\.example"/,
    ),
    'is a FIFO': {
      says: /no regular file/,
      make: (dir) => execFileSync('mkfifo', [dir.file('bundles', 'bad.example.pem')]),
    },
    'is a link to itself': {
      says: /ELOOP/,
      make: (dir) => symlinkSync('bad.example.pem', dir.file('bundles', 'bad.example.pem')),
    },
  };
  for (const [title, { make, says }] of Object.entries(foreign)) {
    it(`cost a foreign trust domain only itself, when its bundle ${title}`, async () => {
      using dir = new ScratchDirectory();
      writeInPlace(dir.path, good);
      writeFileSync(dir.file('bundles', 'README'), 'not a bundle');
      writeFileSync(dir.file('bundles', '.hidden.pem'), 'not a bundle');
      await make(dir);
      const logger = memoryLogger();
      await using workload = await Workload.openFiles(dir.path, { logger });
      expect(workload.state).to.equal('ready');
      const { bundles } = workload.x509;
      expect(bundles.get('partner.example')?.equals(partner.bundle)).to.equal(true);
      expect(bundles.get('example.org')?.equals(ca.bundle)).to.equal(true);
      expect(bundles.get('bad.example')).to.equal(undefined);
      expect(logger.at('warn')).to.have.length(1);
      expect(logger.at('warn')[0]?.message).to.match(/^left out of what the files hold/);
      expect(logger.at('warn')[0]?.message).to.match(says);
    });
  }
});
