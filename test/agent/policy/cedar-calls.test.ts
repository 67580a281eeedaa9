import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { preparsePolicySet, statefulIsAuthorized } from '@cedar-policy/cedar-wasm/nodejs';
import { cedarPolicy } from 'agent-spiffe/agent';
import { expect } from 'chai';

const program = fileURLToPath(new URL('../../support/cedar-calls.js', import.meta.url));
const PERMIT = 'permit(principal, action, resource);';

function calls(how: 'ours' | 'bare'): { survived: boolean; told: string } {
  // It turns coverage on and off itself.
  const { NODE_V8_COVERAGE: _, ...env } = process.env;
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, how, '15000'], {
    encoding: 'utf8',
    env,
  });
  return { survived: status === 0, told: `${stdout}${stderr}` };
}

describe('calls of Cedar', function () {
  this.timeout(60_000);

  it('survive that V8 drops its optimised code while one of them runs', () => {
    expect(calls('ours')).to.deep.equal({
      survived: true,
      told: '15000 allowed, 15 times dropped\n',
    });
  });

  it('abort the process on Node 20 and 22 when they are made as the package offers them', () => {
    const { survived, told } = calls('bare');
    const isMended = Number(process.versions.node.split('.')[0]) >= 24;
    expect(survived).to.equal(isMended);
    if (!isMended) expect(told).to.include('unreachable code');
  });

  it('are of an instance of its own, so that the sets of others stay what they are', async () => {
    const question = {
      principal: { type: 'A', id: 'a' },
      action: { type: 'Action', id: 'a' },
      resource: { type: 'A', id: 'a' },
      context: {},
      entities: [],
    };
    const others = (): unknown =>
      Array.from({ length: 20 }, (_, at) =>
        statefulIsAuthorized({ ...question, preparsedPolicySetId: `agent-spiffe/${at}/0` }),
      ).map((answer) => answer.type === 'success' && answer.response.decision);
    const staticPolicies = { p: 'forbid(principal, action, resource);' };
    for (let at = 0; at < 20; at++) preparsePolicySet(`agent-spiffe/${at}/0`, { staticPolicies });
    const before = others();
    const engine = cedarPolicy({ policies: { p: PERMIT } });
    await engine.prepare([]);
    expect(others()).to.deep.equal(before);
    await engine.close();
    const { WebAssembly } = globalThis as unknown as { WebAssembly: { Instance: () => void } };
    expect(WebAssembly.Instance.toString()).to.include('[native code]');
  });
});
