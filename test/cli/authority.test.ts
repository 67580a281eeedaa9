import { Workload } from 'agent-spiffe';
import { createGuard, functionPolicy, taskCredentials, verifyAuditLog } from 'agent-spiffe/agent';
import { createFetch } from 'agent-spiffe/http';
import { WorkloadApiServer } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { MemoryLog } from '../agent/support.js';
import { recordsOf, TemporaryDirectory } from '../support/audit.js';
import { Run, runToEnd } from '../support/cli.js';
import { AUTHORITY } from '../support/task-authority.js';
import { withSvid } from '../support/task-credential.js';

const AGENT = 'spiffe://example.org/agents/researcher';

describe('agent-spiffe authority', function () {
  this.timeout(20_000);

  it('gives tasks their credentials, each on record, until it is stopped', async () => {
    await using api = await WorkloadApiServer.open({
      trustDomain: 'example.org',
      identities: [
        { id: AGENT, hint: 'agent' },
        { id: AUTHORITY, hint: 'authority' },
      ],
    });
    using directory = new TemporaryDirectory();
    const listen = ['--listen', '127.0.0.1:0', '--json', '--audit', directory.path];
    const run = new Run(
      ['authority', '--dev', '--pick', 'authority', '--allow', AGENT, '--ttl', '30s', ...listen],
      { SPIFFE_ENDPOINT_SOCKET: api.address },
    );
    const [line] = await run.printed(/^.*\n/);
    const { origin, id } = JSON.parse(line) as { origin: string; id: string };
    expect(id).to.equal(AUTHORITY);
    await using agent = await Workload.open({ address: api.address, pick: 'agent' });
    await using fetch = createFetch(agent, { peers: { [origin]: AUTHORITY } });
    await using guard = await createGuard({
      identity: agent,
      policy: functionPolicy(() => true),
      audit: new MemoryLog(),
      credentials: taskCredentials({ authority: origin, fetch }),
    });
    const task = await guard.startTask(withSvid());
    const svid = task.identity.x509.svid();
    expect(svid.notAfter.getTime() - Date.now()).to.be.within(25_000, 30_000);
    await guard.close();
    expect(await run.stop('SIGTERM')).to.deep.equal({ code: 0, signal: null });
    const { problems, trusted } = await verifyAuditLog(directory.path, {
      bundles: agent.x509.bundles,
      id: AUTHORITY,
    });
    expect([problems, trusted]).to.deep.equal([[], true]);
    const made = recordsOf(directory.path).filter(
      ({ metadata }) => metadata.event_code === 'credential',
    );
    expect(made.map(({ unmapped }) => unmapped['credential'])).to.deep.equal([
      {
        expires_at: svid.notAfter.getTime(),
        reference: svid.serialNumber,
        subject: svid.id.toString(),
        type: 'x509-svid',
      },
    ]);
  });

  const wrong: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['without a rule', ['--dev'], /--allow/],
    ['without anyone who mints', ['--allow', AGENT], /--spire <host:port> or --dev/],
    ['with two who mint', ['--allow', AGENT, '--dev', '--spire', 'a:1'], /cannot be used with/],
    ['with no place to listen', ['--allow', AGENT, '--dev', '--listen', 'here'], /host and a port/],
    ['with a life of nothing', ['--allow', AGENT, '--dev', '--ttl', 'long'], /number and a unit/],
  ];
  for (const [how, args, says] of wrong) {
    it(`says what is wrong, and exits with 2, ${how}`, () => {
      const { code, stderr } = runToEnd('authority', ...args);
      expect(code).to.equal(2);
      expect(stderr).to.match(says);
    });
  }
});
