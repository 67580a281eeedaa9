import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { SPIFFE_ERROR_CODES } from 'agent-spiffe';
import { expect } from 'chai';

const root = fileURLToPath(new URL('..', import.meta.url));

/** What a program prints that runs in a process of its own. */
function run(type: 'module' | 'commonjs', code: string): string {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['--no-warnings', `--input-type=${type}`, '--eval', code],
    { cwd: root, encoding: 'utf8' },
  );
  return stdout + stderr;
}

/** Public: callers decide on them. A new one is added here, none is changed or taken out but in a major release. */
const CODES = [
  'ERR_SPIFFE_ADDRESS_INVALID',
  'ERR_SPIFFE_AUDIT_INVALID',
  'ERR_SPIFFE_AUDIT_UNAVAILABLE',
  'ERR_SPIFFE_BUNDLE_NOT_FOUND',
  'ERR_SPIFFE_CONNECT_FAILED',
  'ERR_SPIFFE_CREDENTIAL_DENIED',
  'ERR_SPIFFE_CREDENTIAL_UNAVAILABLE',
  'ERR_SPIFFE_DENIED',
  'ERR_SPIFFE_FILES_INVALID',
  'ERR_SPIFFE_FILES_NOT_WRITTEN',
  'ERR_SPIFFE_GRANT_INVALID',
  'ERR_SPIFFE_REVOCATION_LIST_INVALID',
  'ERR_SPIFFE_GUARD_SEALED',
  'ERR_SPIFFE_HANDSHAKE_FAILED',
  'ERR_SPIFFE_HANDSHAKE_TIMEOUT',
  'ERR_SPIFFE_ID_INVALID',
  'ERR_SPIFFE_JWT_AUDIENCE',
  'ERR_SPIFFE_JWT_BUNDLE_INVALID',
  'ERR_SPIFFE_JWT_EXPIRED',
  'ERR_SPIFFE_JWT_SVID_INVALID',
  'ERR_SPIFFE_JWT_UNTRUSTED',
  'ERR_SPIFFE_NO_TASK',
  'ERR_SPIFFE_OPEN_TIMEOUT',
  'ERR_SPIFFE_OPTION_INVALID',
  'ERR_SPIFFE_PEER_NOT_ALLOWED',
  'ERR_SPIFFE_PEER_NO_CERTIFICATE',
  'ERR_SPIFFE_PEER_RULE_FAILED',
  'ERR_SPIFFE_PEER_RULE_INVALID',
  'ERR_SPIFFE_PEER_UNKNOWN',
  'ERR_SPIFFE_POLICY_INVALID',
  'ERR_SPIFFE_REDIRECT_REFUSED',
  'ERR_SPIFFE_REFUSED_BY_PEER',
  'ERR_SPIFFE_SOURCE_CLOSED',
  'ERR_SPIFFE_SOURCE_FAILED',
  'ERR_SPIFFE_SVID_EXPIRED',
  'ERR_SPIFFE_SVID_NOT_FOUND',
  'ERR_SPIFFE_SVID_NOT_READY',
  'ERR_SPIFFE_SVID_REVOKED',
  'ERR_SPIFFE_TARGET_INSECURE',
  'ERR_SPIFFE_TARGET_NOT_BOUND',
  'ERR_SPIFFE_TASK_ENDED',
  'ERR_SPIFFE_TASK_NESTED',
  'ERR_SPIFFE_TRUST_DOMAIN_INVALID',
  'ERR_SPIFFE_TRUST_WITHDRAWN',
  'ERR_SPIFFE_WORKLOAD_API_DENIED',
  'ERR_SPIFFE_WORKLOAD_API_REJECTED',
  'ERR_SPIFFE_WORKLOAD_API_RESPONSE_INVALID',
  'ERR_SPIFFE_WORKLOAD_API_UNAVAILABLE',
  'ERR_SPIFFE_X509_BUNDLE_INVALID',
  'ERR_SPIFFE_X509_EXPIRED',
  'ERR_SPIFFE_X509_SVID_INVALID',
  'ERR_SPIFFE_X509_UNTRUSTED',
];

describe('agent-spiffe, imported', () => {
  it('has these error codes and no others', () => {
    expect(SPIFFE_ERROR_CODES.toSorted()).to.deep.equal(CODES.toSorted());
    expect(SPIFFE_ERROR_CODES).to.be.frozen;
  });

  it('loads nothing of others, and nothing of Node that talks to a network', () => {
    const said = run(
      'module',
      `import { createRequire } from 'node:module';
       const before = new Set(process.moduleLoadList);
       await import('agent-spiffe');
       const others = Object.keys(createRequire(import.meta.url).cache);
       const nodes = ['net', 'tls', 'http', 'http2', 'https', 'dns', 'worker_threads'].filter((name) =>
         process.moduleLoadList.some((one) => one === 'NativeModule ' + name && !before.has(one)));
       console.log(JSON.stringify([others, nodes]));`,
    );
    expect(said).to.equal('[[],[]]\n');
  });

  it('can be required, as one and the same module', () => {
    const said = run(
      'commonjs',
      `const { SpiffeId } = require('agent-spiffe');
       import('agent-spiffe').then((imported) => console.log(imported.SpiffeId === SpiffeId));`,
    );
    expect(said).to.equal('true\n');
  });
});
