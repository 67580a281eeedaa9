import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { writePem } from '#lib/internal/pem.js';
import { events, TemporaryDirectory, writeLog } from '../support/audit.js';

const text = readFileSync(new URL('../../docs/audit.md', import.meta.url), 'utf8');

/** The block of the page that a program is to run. */
function block(program: string): string {
  const [, code] =
    new RegExp(`<!-- run: ${program} -->\n\`\`\`\\w+\n([^]*?)\`\`\``).exec(text) ?? [];
  if (code === undefined) throw new Error(`docs/audit.md has no block for ${program}`);
  return code;
}

describe('the commands of docs/audit.md', () => {
  const home = new TemporaryDirectory();
  const directory = join(home.path, 'log');

  before(async () => {
    const { ca } = await writeLog(directory, [events(5), events(8)]);
    const pem = ca.bundle.authorities.map((der) => writePem(der, 'CERTIFICATE')).join('');
    writeFileSync(join(directory, 'bundle.pem'), pem);
  });

  after(() => home[Symbol.dispose]());

  /** Runs a block; a program that is not on this machine leaves its test out, which is a failure on CI. */
  function run(
    context: Mocha.Context,
    program: string,
    ...args: readonly string[]
  ): { code: number | null; told: string } {
    const { status, stdout, stderr } = spawnSync(program, args, {
      cwd: directory,
      input: block(program),
      encoding: 'utf8',
    });
    if (status === null) context.skip();
    return { code: status, told: `${stdout}${stderr}` };
  }

  it('verify the SVID, the log key and the last checkpoint with OpenSSL', function () {
    const { code, told } = run(this, 'sh', '-e');
    expect(told).to.equal('svid.pem: OK\nVerified OK\nSignature Verified Successfully\n');
    expect(code).to.equal(0);
  });

  it('verify the tree with Python, and notice a record that was changed', function () {
    expect(run(this, 'python3', '-')).to.deep.equal({ code: 0, told: '' });
    const path = join(directory, '00000000000000000000.jsonl');
    const log = readFileSync(path, 'utf8');
    writeFileSync(path, log.replace('"duration_ms":3', '"duration_ms":4'));
    const { code, told } = run(this, 'python3', '-');
    expect(told).to.include('the records are not those that were signed');
    expect(code).to.equal(1);
    writeFileSync(path, log);
  });
});
