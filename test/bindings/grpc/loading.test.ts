import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** Whether a process that imports this has loaded grpc-js. */
function loadsGrpc(entry: string): string {
  const code = `
    import { createRequire } from 'node:module';
    await import('${entry}');
    const loaded = Object.keys(createRequire(import.meta.url).cache);
    console.log(loaded.some((file) => file.includes('grpc-js')));`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', code], {
    cwd: root,
    encoding: 'utf8',
  });
  return (stdout + stderr).trim();
}

describe('grpc-js', () => {
  it('is loaded by an import of agent-spiffe/grpc, and of no other part of the library', () => {
    expect(loadsGrpc('agent-spiffe/grpc')).to.equal('true');
    for (const entry of ['', '/http', '/agent', '/authority'])
      expect(loadsGrpc(`agent-spiffe${entry}`), entry).to.equal('false');
  });
});
