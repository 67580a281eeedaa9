import { mkdirSync, symlinkSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { SpiffeError, X509Bundle, X509Svid } from 'agent-spiffe';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { readPem } from '#lib/internal/pem.js';
import { SILENT } from '#lib/log.js';
import { DEFAULT_NAMES } from '#lib/sources/files/names.js';
import { openFiles } from '#lib/sources/files/open.js';
import { type FileSet, readSet, UnsettledError } from '#lib/sources/files/read-set.js';
import { memoryLogger } from '../../support/memory-logger.js';
import { nextState } from '../../support/states.js';
import {
  expectOneGeneration,
  type Pems,
  pemsOf,
  QUICK_CLOCK,
  ScratchDirectory,
  swapGeneration,
  writeInPlace,
} from '../../support/svid-files.js';

const ID = 'spiffe://example.org/agent';
const ca = TestCa.create('example.org');

const text = (value: string): Uint8Array => Buffer.from(value);
const fault = (why: string): SpiffeError => new SpiffeError('ERR_SPIFFE_FILES_INVALID', why);

/** A reader that finds these sets, one after another. */
function reading(sets: readonly FileSet[]): {
  readonly read: () => Promise<FileSet>;
  readonly left: () => number;
} {
  const rest = [...sets];
  return { read: () => Promise.resolve(rest.shift() as FileSet), left: () => rest.length };
}

describe('the reading of files that are replaced singly', () => {
  const set: FileSet = {
    svid: text('svid'),
    key: text('key'),
    keyMode: 0o600,
    bundle: text('bundle'),
    federated: new Map<string, Uint8Array | SpiffeError>([
      ['a.example', text('a')],
      ['b.example', fault('b')],
    ]),
  };
  const others: Readonly<Record<string, Partial<FileSet>>> = {
    'another SVID': { svid: text('other') },
    'another key': { key: text('other') },
    'another bundle': { bundle: text('other') },
    'a federated bundle less': { federated: new Map([['a.example', text('a')]]) },
    'another federated bundle': {
      federated: new Map([...set.federated, ['a.example', text('other')]]),
    },
    'another federated domain': {
      federated: new Map<string, Uint8Array | SpiffeError>([
        ['c.example', text('a')],
        ['b.example', fault('b')],
      ]),
    },
    'a federated bundle that became good': {
      federated: new Map([...set.federated, ['b.example', text('b')]]),
    },
    'a federated bundle that became bad': {
      federated: new Map([...set.federated, ['a.example', fault('a')]]),
    },
    'a federated bundle that is bad in another way': {
      federated: new Map([...set.federated, ['b.example', fault('another b')]]),
    },
  };
  for (const [what, change] of Object.entries(others)) {
    it(`goes on until two agree: not with ${what}`, async () => {
      using dir = new ScratchDirectory();
      const { read, left } = reading([{ ...set, ...change }, set, { ...set }, set]);
      expect(await readSet(dir.path, DEFAULT_NAMES, read)).to.deep.equal(set);
      expect(left()).to.equal(1);
    });
  }

  it('ends when they never agree, and is not content with one', async () => {
    using dir = new ScratchDirectory();
    const sets = Array.from({ length: 20 }, (_, at) => ({ ...set, svid: text(`${at}`) }));
    const error = await readSet(dir.path, DEFAULT_NAMES, reading(sets).read).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).to.be.instanceOf(UnsettledError);
    expect((error as UnsettledError).message).to.match(/change faster than they can be read/);
  });

  it('needs but one behind ..data', async () => {
    using dir = new ScratchDirectory();
    mkdirSync(dir.file('..1'));
    symlinkSync('..1', dir.file('..data'));
    const { read, left } = reading([set, set]);
    expect(await readSet(dir.path, DEFAULT_NAMES, read)).to.equal(set);
    expect(left()).to.equal(1);
  });
});

/** Each with an authority of its own, so that files of two would not verify. */
function generations(count: number): readonly Pems[] {
  return Array.from({ length: count }, () => {
    const issuer = TestCa.create('example.org');
    return pemsOf(issuer.issue(ID), issuer, [issuer]);
  });
}

/** Runs while a thread replaces the files of a directory without a pause. */
async function hammered(
  directory: string,
  replace: typeof swapGeneration,
  use: () => Promise<void>,
): Promise<void> {
  const all = generations(30);
  replace(directory, all[0] as Pems);
  const worker = new Worker(new URL('./hammer.js', import.meta.url), {
    workerData: { directory, generations: all, how: replace.name },
  });
  try {
    await use();
  } finally {
    // A thread that is terminated ends at once: it holds nothing but the files of this test.
    await worker.terminate();
  }
}

describe('a reader of files that are replaced without a pause', () => {
  it('reads files of one generation behind ..data, and never of two', async () => {
    using dir = new ScratchDirectory();
    await hammered(dir.path, swapGeneration, async () => {
      const seen = new Set<string>();
      for (let readings = 0; readings < 200 || seen.size < 10; readings++) {
        const set = await readSet(dir.path, DEFAULT_NAMES).catch(unlessUnsettled);
        if (set === undefined) continue;
        const svid = svidOf(set.svid, set.key);
        expectOneGeneration(svid.certificates, X509Bundle.fromPem('example.org', set.bundle));
        expect(set.federated.get('example.org')).to.deep.equal(set.bundle);
        seen.add(svid.serialNumber);
      }
    });
  });

  it('takes up one generation after another, and says nothing of a fault', async () => {
    using dir = new ScratchDirectory();
    const logger = memoryLogger();
    await hammered(dir.path, swapGeneration, async () => {
      const { x509, close } = await openFiles(dir.path, {
        timeoutMs: 100_000,
        logger,
        clock: QUICK_CLOCK,
      });
      const seen = new Set<string>();
      for await (const { svid, bundles } of x509.updates()) {
        const bundle = bundles.get('example.org');
        if (svid === undefined || bundle === undefined) throw new Error('nothing is withdrawn');
        expectOneGeneration(svid.certificates, bundle);
        if (seen.add(svid.serialNumber).size > 10) break;
      }
      close();
    });
    const faults = logger.lines.filter(({ message }) => !message.includes('own trust domain'));
    expect(faults).to.deep.equal([]);
  });

  it('never takes a key for an SVID that is not its own where files are written in place', async () => {
    using dir = new ScratchDirectory();
    writeInPlace(dir.path, generations(1)[0] as Pems);
    const { x509, close } = await openFiles(dir.path, {
      timeoutMs: 100_000,
      logger: SILENT,
      clock: QUICK_CLOCK,
    });
    const taken: X509Svid[] = [];
    const following = (async () => {
      for await (const { svid } of x509.updates()) if (svid !== undefined) taken.push(svid);
    })();
    await hammered(dir.path, writeInPlace, () => setTimeout(500));
    const last = ca.issue(ID);
    writeInPlace(dir.path, pemsOf(last, ca));
    const { state } = await nextState(x509, ({ svid }) => svid?.serialNumber === last.serialNumber);
    expect(state).to.equal('ready');
    close();
    await following;
    // Which throws for a key that is not the leaf's.
    for (const { certificates, privateKey } of taken)
      X509Svid.fromDer(
        Buffer.concat(certificates),
        privateKey.export({ type: 'pkcs8', format: 'der' }),
      );
  });
});

function unlessUnsettled(error: unknown): undefined {
  if (!(error instanceof UnsettledError)) throw error;
}

function svidOf(svid: Uint8Array, key: Uint8Array): X509Svid {
  const [pkcs8] = readPem(Buffer.from(key).toString(), 'PRIVATE KEY');
  const chain = readPem(Buffer.from(svid).toString(), 'CERTIFICATE');
  return X509Svid.fromDer(Buffer.concat(chain), pkcs8 as Uint8Array);
}
