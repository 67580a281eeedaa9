import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect } from 'chai';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = pathToFileURL(`${root}/dist/`).href;

/** The files of ours that Node loads for a program, in a process of its own. */
function loadedBy(code: string): string[] {
  const hook = `export async function load(url, context, next) {
    if (url.startsWith('${dist}')) process._rawDebug(url);
    return next(url, context);
  }`;
  const program = `
    import { register } from 'node:module';
    register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hook)}`)});
    ${code}`;
  const { stderr, status } = spawnSync(
    process.execPath,
    ['--input-type=module', '--eval', program],
    { cwd: root, encoding: 'utf8' },
  );
  expect(status, stderr).to.equal(0);
  return stderr.split('\n').filter((line) => line.startsWith(dist));
}

const modules = (base: string, ending: string): string[] =>
  readdirSync(`${root}/${base}`, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith(ending) && !file.endsWith('.d.ts'))
    .map((file) => file.slice(0, -ending.length));

// Each file costs Node 0.4 ms, and every process that starts waits for them.
describe('what is built', () => {
  it('is two files for an import', () => {
    expect(loadedBy(`await import('agent-spiffe');`)).to.have.lengthOf(2);
  });

  it('is a dozen files for a workload, and none of the agent’s, of HTTP or for tests', () => {
    const files = loadedBy(`
      const { Workload } = await import('agent-spiffe');
      const opened = Workload.open({ address: 'unix:///nobody.sock', timeoutMs: 1 });
      await opened.catch(() => {});`);
    expect(files.filter((file) => file.includes('workload-api'))).not.to.deep.equal([]);
    expect(files.length).to.be.at.most(12);
    expect(files.filter((file) => /agent\/|bindings|testing\//.test(file))).to.deep.equal([]);
  });

  it('has each module at its path, with the very classes that users get', () => {
    const program = `
      const inner = await import('${dist}identity/x509/svid.js');
      const error = await import('${dist}errors.js');
      const { X509Svid, SpiffeError } = await import('agent-spiffe');
      if (inner.X509Svid !== X509Svid || error.SpiffeError !== SpiffeError) process.exitCode = 1;`;
    expect(loadedBy(program)).not.to.deep.equal([]);
    expect(modules('dist', '.js')).to.include.members(modules('lib', '.ts'));
  });
});
