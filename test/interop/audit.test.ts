import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { auditLog, formatInclusionProof, proveInclusion, verifyAuditLog } from 'agent-spiffe/agent';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { leafHash, MerkleTree } from '#lib/agent/audit/tree.js';
import { writePem } from '#lib/internal/pem.js';
import {
  AGENT,
  events,
  linesOf,
  segmentsOf,
  TemporaryDirectory,
  writeLog,
} from '../support/audit.js';
import { goVerifier } from '../support/go-audit.js';
import { describeInterop } from '../support/interop.js';
import { staticIdentity } from '../support/static-identity.js';

const hexOf = (hash: string): string => Buffer.from(hash, 'latin1').toString('hex');

describeInterop(
  'audit',
  'an audit log, by golang.org/x/mod/sumdb/note and transparency-dev/merkle',
  function () {
    this.timeout(60_000);
    let home: TemporaryDirectory;

    beforeEach(() => {
      home = new TemporaryDirectory();
    });

    afterEach(() => home[Symbol.dispose]());

    function writeRoots(ca: TestCa): string {
      const path = join(home.path, 'roots.pem');
      writeFileSync(
        path,
        ca.bundle.authorities.map((der) => writePem(der, 'CERTIFICATE')).join(''),
      );
      return path;
    }

    it('has the same root at each size up to 300', () => {
      const tree = new MerkleTree();
      const roots = [hexOf(tree.root())];
      const entries = Array.from({ length: 300 }, (_, at) => `entry ${at} ${'x'.repeat(at)}`);
      for (const entry of entries) {
        tree.append(leafHash(Buffer.from(entry)));
        roots.push(hexOf(tree.root()));
      }
      expect(goVerifier(['roots'], entries.map((entry) => `${entry}\n`).join(''))).to.deep.equal(
        roots,
      );
    });

    for (const keyType of ['ec-p256', 'ec-p384', 'rsa-2048'] as const) {
      it(`is verified, over restarts, rotations and files, with SVIDs of type ${keyType}`, async () => {
        const directory = join(home.path, 'log');
        const ca = TestCa.create('example.org', { keyType, intermediate: true });
        for (let start = 0; start < 3; start++) {
          const identity = staticIdentity(ca, AGENT);
          await using log = auditLog(directory, { segmentBytes: 1 << 16, checkpointRecords: 10 });
          await log.open(identity);
          for (const event of events(25)) await log.append(event);
          identity.x509.set({ svids: [ca.issue(AGENT)] });
          for (const event of events(25)) await log.append(event);
        }
        const { origin, records, covered, checkpoints, keys } = await verifyAuditLog(directory);
        expect(segmentsOf(directory).length).to.be.greaterThan(1);
        expect(records).to.equal(3 * 52);
        expect(goVerifier(['log', directory, writeRoots(ca)])).to.deep.equal({
          origin,
          id: AGENT,
          records,
          covered,
          checkpoints,
          keys: keys.length,
        });
      });
    }

    it('is refused when a record, a checkpoint or the authority is another', async () => {
      const directory = join(home.path, 'log');
      const { ca } = await writeLog(directory, [events(5), events(5)]);
      const roots = writeRoots(ca);
      expect(goVerifier(['log', directory, roots])).to.include({ records: 11 });
      const checkpoints = join(directory, 'checkpoints');
      for (const [path, was, is] of [
        [segmentsOf(directory)[0] as string, '"duration_ms":3', '"duration_ms":4'],
        [checkpoints, '\n6\n', '\n7\n'],
      ] as const) {
        const text = readFileSync(path, 'utf8');
        writeFileSync(path, text.replace(was, is));
        expect(goVerifier(['log', directory, roots]), path).to.be.instanceOf(Error);
        expect((await verifyAuditLog(directory)).intact).to.equal(false);
        writeFileSync(path, text);
      }
      expect(
        goVerifier(['log', directory, writeRoots(TestCa.create('example.org'))]),
      ).to.be.instanceOf(Error);
    });

    it('has a proof for each record, at sizes that are and are not powers of two', async () => {
      for (const size of [1, 2, 3, 7, 8, 9, 21]) {
        const directory = join(home.path, `log-${size}`);
        await writeLog(directory, [events(size - 1)]);
        const lines = linesOf(directory);
        const path = join(home.path, 'record.tlog-proof');
        for (const [index, record] of lines.entries()) {
          const proof = await proveInclusion(directory, index);
          writeFileSync(path, formatInclusionProof(proof));
          expect(goVerifier(['proof', path, proof.key])).to.include({ index, size, record });
        }
      }
    });

    it('has no proof for another record, at another place, or by another key', async () => {
      const directory = join(home.path, 'log');
      await writeLog(directory, [events(9)]);
      await writeLog(join(home.path, 'other'), [events(9)]);
      const path = join(home.path, 'record.tlog-proof');
      const proof = await proveInclusion(directory, 4);
      const other = await proveInclusion(join(home.path, 'other'), 4);
      const [first, ...rest] = proof.hashes;
      for (const changed of [
        { ...proof, record: Buffer.from(linesOf(directory)[5] as string) },
        { ...proof, index: 5 },
        { ...proof, hashes: rest },
        { ...proof, hashes: [...rest, first as Uint8Array] },
        { ...proof, checkpoint: other.checkpoint },
      ]) {
        writeFileSync(path, formatInclusionProof(changed));
        expect(goVerifier(['proof', path, proof.key])).to.be.instanceOf(Error);
      }
      writeFileSync(path, formatInclusionProof(proof));
      expect(goVerifier(['proof', path, other.key])).to.be.instanceOf(Error);
      expect(goVerifier(['proof', path, proof.key])).to.include({ index: 4 });
    });
  },
);
