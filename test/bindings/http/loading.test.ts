import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** Runs a module in a process of its own and gives what it prints. */
function run(code: string): string {
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', code], {
    cwd: root,
    encoding: 'utf8',
  });
  return stdout + stderr;
}

const LOADED = `
  import { createRequire } from 'node:module';
  const loaded = () => Object.keys(createRequire(import.meta.url).cache)
    .filter((file) => file.includes('node_modules'));`;

describe('agent-spiffe/http', () => {
  it('loads nothing of others until a client is made that needs it', () => {
    const said = run(`${LOADED}
      const { createFetch, createAgent, createDispatcher } = await import('agent-spiffe/http');
      const peers = { 'https://a': 'spiffe://example.org/a' };
      createFetch({}, { peers });
      createAgent({}, { peers });
      const before = loaded().length;
      createDispatcher({}, { peers });
      console.log(before, loaded().some((file) => file.includes('undici')));`);
    expect(said).to.equal('0 true\n');
  });
});
