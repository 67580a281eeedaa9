import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { writePem } from '#lib/internal/pem.js';
import {
  AGENT,
  checkpointsOf,
  events,
  linesOf,
  TemporaryDirectory,
  type WrittenLog,
  writeLog,
} from '../support/audit.js';

const CLI = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

function run(...args: readonly string[]): { code: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, 'audit', ...args], {
    encoding: 'utf8',
    timeout: 9000,
  });
  return { code: status, stdout, stderr };
}

function pem(ca: TestCa): string {
  return ca.bundle.authorities.map((der) => writePem(der, 'CERTIFICATE')).join('');
}

describe('agent-spiffe audit', () => {
  const home = new TemporaryDirectory();
  const directory = join(home.path, 'log');
  const altered = join(home.path, 'altered');
  const bundle = join(home.path, 'bundle.pem');
  const stranger = join(home.path, 'stranger.pem');
  const kept = join(home.path, 'kept');
  let log: WrittenLog;

  before(async () => {
    log = await writeLog(directory, [events(6)]);
    await writeLog(altered, [events(6)]);
    const path = join(altered, '00000000000000000000.jsonl');
    writeFileSync(path, readFileSync(path, 'utf8').replace('"duration_ms":3', '"duration_ms":4'));
    writeFileSync(bundle, pem(log.ca));
    writeFileSync(stranger, pem(TestCa.create('example.org')));
    writeFileSync(kept, checkpointsOf(directory).at(-1) as string);
  });

  after(() => home[Symbol.dispose]());

  describe('verify', () => {
    it('tells that a log is intact, whose it is, and what to keep', () => {
      const { code, stdout, stderr } = run(
        'verify',
        directory,
        '--bundle',
        `example.org=${bundle}`,
        '--id',
        'spiffe://example.org/agents/*',
      );
      expect(stderr).to.equal('');
      expect(stdout).to.match(/^intact: 7 records, 7 of them below the last checkpoint\n/);
      expect(stdout).to.include(`written by: ${AGENT}, verified\n`);
      expect(stdout).to.include(checkpointsOf(directory).at(-1)?.trimEnd());
      expect(code).to.equal(0);
    });

    it('says that it did not verify whose a log is', () => {
      const { code, stdout } = run('verify', directory);
      expect(stdout)
        .to.include('note: who wrote it is not verified')
        .and.to.not.include(', verified');
      expect(code).to.equal(0);
    });

    it('tells where a log was altered, with exit code 1', () => {
      const { code, stdout } = run('verify', altered);
      expect(stdout).to.match(
        /^NOT INTACT: one problem\n  record 4 was changed: 0{20}\.jsonl line 5\n/,
      );
      expect(code).to.equal(1);
    });

    it('prints the same as JSON', () => {
      const good = run('verify', directory, '--json');
      expect(good.code).to.equal(0);
      expect(JSON.parse(good.stdout)).to.include({
        intact: true,
        id: AGENT,
        trusted: false,
        records: 7,
        covered: 7,
      });
      const bad = run('verify', altered, '--json');
      expect(bad.code).to.equal(1);
      expect((JSON.parse(bad.stdout) as { problems: unknown }).problems).to.deep.equal([
        {
          kind: 'record-changed',
          index: 4,
          file: '00000000000000000000.jsonl',
          line: 5,
          message: 'record 4 was changed: 00000000000000000000.jsonl line 5',
        },
      ]);
    });

    const REFUSED: readonly (readonly [string, () => readonly string[], RegExp])[] = [
      [
        'the SVID of another authority',
        () => [directory, '--bundle', `example.org=${stranger}`],
        /does not verify/,
      ],
      [
        'the bundle of another trust domain',
        () => [directory, '--bundle', `acme.test=${bundle}`],
        /no bundle for the trust domain example\.org/,
      ],
      [
        'another writer',
        () => [directory, '--id', 'spiffe://example.org/agents/writer'],
        /that of spiffe:\/\/example\.org\/agents\/researcher/,
      ],
      [
        'a log that a checkpoint from elsewhere is not for',
        () => [altered, '--checkpoint', kept],
        /the checkpoint for 7 records that was kept/,
      ],
    ];
    for (const [what, args, says] of REFUSED) {
      it(`finds ${what}, with exit code 1`, () => {
        const { code, stdout } = run('verify', ...args());
        expect(stdout).to.match(says);
        expect(code).to.equal(1);
      });
    }

    it('takes a checkpoint that was kept, also with an empty line after it', () => {
      expect(run('verify', directory, '--checkpoint', kept).code).to.equal(0);
      writeFileSync(kept, `${readFileSync(kept, 'utf8')}\n`);
      expect(run('verify', directory, '--checkpoint', kept).code).to.equal(0);
    });
  });

  describe('prove', () => {
    it('prints a proof that holds the record and the checkpoint', () => {
      const { code, stdout } = run('prove', '3', directory);
      expect(code).to.equal(0);
      const [version, extra = '', index, ...rest] = stdout.split('\n');
      expect(version).to.equal('c2sp.org/tlog-proof@v1');
      expect(Buffer.from(extra.slice('extra '.length), 'base64').toString()).to.equal(
        linesOf(directory)[3],
      );
      expect(index).to.equal('index 3');
      // A tree of seven entries has three levels above entry 3.
      expect(rest.indexOf('')).to.equal(3);
      expect(rest.slice(4).join('\n')).to.equal(checkpointsOf(directory).at(-1));
    });

    it('prints the parts as JSON, with the key of the log', () => {
      const { stdout } = run('prove', '0', directory, '--json');
      const proof = JSON.parse(stdout) as {
        index: number;
        record: string;
        key: string;
        hashes: unknown[];
      };
      expect(proof).to.include({ index: 0, record: linesOf(directory)[0] });
      expect(proof.record).to.include(`"key":"${proof.key}"`);
      expect(proof.hashes.length).to.equal(3);
    });

    it('proves nothing of a log that was altered, with exit code 1', () => {
      for (const index of ['2', '4']) {
        const { code, stdout, stderr } = run('prove', index, altered);
        expect(stderr).to.match(/which was altered.*ERR_SPIFFE_AUDIT_INVALID/);
        expect(stdout).to.equal('');
        expect(code).to.equal(1);
      }
    });

    it('proves no record that is not there, with exit code 2', () => {
      const { code, stderr } = run('prove', '7', directory);
      expect(stderr)
        .to.include('cannot prove record 7')
        .and.to.include('for 7 records, counted from 0');
      expect(code).to.equal(2);
    });
  });

  const BAD: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['no directory', ['verify'], /missing required argument 'directory'/],
    [
      'a directory without a log',
      ['verify', home.path],
      /there is none in that directory.*ERR_SPIFFE_AUDIT_UNAVAILABLE/,
    ],
    [
      'a directory that does not exist',
      ['verify', join(home.path, 'nowhere')],
      /cannot be read: ENOENT/,
    ],
    [
      'a bundle without its trust domain',
      ['verify', directory, '--bundle', 'bundle.pem'],
      /such as example\.org=bundle\.pem/,
    ],
    [
      'a bundle that is not there',
      ['verify', directory, '--bundle', 'example.org=/nowhere'],
      /cannot read "\/nowhere", given as --bundle/,
    ],
    [
      'a bundle that is none',
      ['verify', directory, '--bundle', `example.org=${CLI}`],
      /ERR_SPIFFE_X509_BUNDLE_INVALID/,
    ],
    [
      'a rule that is none',
      ['verify', directory, '--id', 'researcher'],
      /ERR_SPIFFE_PEER_RULE_INVALID/,
    ],
    ['a checkpoint that is none', ['verify', directory, '--checkpoint', CLI], /as a checkpoint/],
    ['an index that is none', ['prove', '-1', directory], /unknown option|whole number/],
    ['an index that is no number', ['prove', '1x', directory], /Give a whole number/],
    ['a command that it does not have', ['sign', directory], /unknown command 'sign'/],
  ];
  for (const [what, args, says] of BAD) {
    it(`refuses ${what} in one line, with exit code 2`, () => {
      const { code, stdout, stderr } = run(...args);
      expect(stderr)
        .to.match(/^agent-spiffe: [^\n]+\n$/)
        .and.to.match(says);
      expect(stdout).to.equal('');
      expect(code).to.equal(2);
    });
  }
});
