import { spawnSync } from 'node:child_process';
import { Workload } from 'agent-spiffe';
import { WorkloadApiServer } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { rejection } from '../../support/rejection.js';

const A = 'spiffe://example.org/a';
const open = new URL('../../../dist/sources/workload-api/open.js', import.meta.url).href;

describe('the JWT side of a workload', () => {
  it('loads nothing until it is used', () => {
    // A hook that names each module of ours as it is loaded.
    const hook = `export async function load(url, context, next) {
      if (url.includes('/dist/')) process._rawDebug(url);
      return next(url, context);
    }`;
    const start = `
      import { register } from 'node:module';
      register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hook)}`)});
      await import(${JSON.stringify(open)});
    `;
    const args = ['--input-type=module', '--eval', start];
    const { stderr, status } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    expect(status, stderr).to.equal(0);
    expect(stderr).to.include('workload-api/open.js');
    expect(stderr).not.to.match(/jwt-source|token-cache|joined\/jwt\.js/);
  });

  it('is pending and empty until then, and shows no more', async () => {
    await using server = await WorkloadApiServer.open({
      trustDomain: 'example.org',
      identities: [A],
    });
    await using me = await Workload.open({ address: server.address });
    expect(server.callCount('FetchJWTBundles')).to.equal(0);
    const called = server.nextCall({ method: 'FetchJWTBundles' });
    const { jwt } = me;
    expect(jwt.state).to.equal('pending');
    expect(jwt.bundles.get('example.org')).to.equal(undefined);
    expect(JSON.parse(JSON.stringify(jwt))).to.deep.equal({ state: 'pending', bundles: [] });
    await called;
    const { token } = await jwt.fetch({ audience: 'x' });
    await jwt.verify(token, { audience: 'x' });
    expect(jwt.state).to.equal('ready');
    expect(JSON.parse(JSON.stringify(jwt))).to.deep.equal({
      state: 'ready',
      bundles: ['example.org'],
    });
    expect(me.jwt).to.equal(jwt);
    expect(server.callCount('FetchJWTBundles')).to.equal(1);
  });

  it('is closed with the workload, used or not', async () => {
    await using server = await WorkloadApiServer.open({
      trustDomain: 'example.org',
      identities: [A],
    });
    for (const use of [true, false]) {
      const me = await Workload.open({ address: server.address });
      const used = use ? me.jwt : undefined;
      await me.close();
      const { jwt } = me;
      expect(jwt).to.equal(used ?? jwt);
      expect(jwt.state).to.equal('closed');
      await rejection('ERR_SPIFFE_SOURCE_CLOSED', jwt.fetch({ audience: 'x' }));
      await rejection('ERR_SPIFFE_SOURCE_CLOSED', jwt.verify('a.b.c', { audience: 'x' }));
      await rejection('ERR_SPIFFE_SOURCE_CLOSED', jwt.validate('a.b.c', { audience: 'x' }));
      expect(jwt.state).to.equal('closed');
    }
    await server.idle();
    expect(server.callCount('FetchJWTBundles')).to.equal(0);
  });
});
