import { once } from 'node:events';
import { Workload } from 'agent-spiffe';
import { createGuard, functionPolicy, type Guard, taskCredentials } from 'agent-spiffe/agent';
import { createTaskAuthority, mintWithSpire, type TaskAuthority } from 'agent-spiffe/authority';
import { createFetch, peerOf, type SpiffeFetch } from 'agent-spiffe/http';
import { expect } from 'chai';
import { until } from '../../spire-config/processes.mjs';
import { MemoryLog } from '../agent/support.js';
import { type HttpService, httpService } from '../support/http-service.js';
import { rejection } from '../support/rejection.js';
import { describeSpire, TestSpire } from '../support/spire.js';
import { AUTHORITY } from '../support/task-authority.js';
import { withSvid } from '../support/task-credential.js';

const AGENT = 'spiffe://example.org/agents/researcher';
const TOOL = 'spiffe://example.org/tools/search';

describeSpire('real SPIRE: a task with an SVID of its own', () => {
  let spire: TestSpire;
  const workloads: Workload[] = [];
  let authority: TaskAuthority;
  let service: HttpService;
  let tool: HttpService;
  let guard: Guard;
  let fetch: SpiffeFetch;
  const log = new MemoryLog();
  let admitted: string | undefined;

  before(async () => {
    spire = await TestSpire.start();
    for (const [hint, spiffeId] of Object.entries({ AUTHORITY, AGENT, TOOL }))
      await spire.createEntry({ spiffeId, hint });
    await until(
      async () => (await spire.fetchX509()).svids.length === 3,
      () => 'the entries are not served',
    );
    const open = async (pick: string): Promise<Workload> => {
      const workload = await Workload.open({ address: spire.address, pick });
      workloads.push(workload);
      return workload;
    };
    const me = await open('AUTHORITY');
    const mint = mintWithSpire({ address: spire.serverAddress, identity: me });
    authority = await createTaskAuthority({ identity: me, mint, allow: AGENT });
    service = await httpService(me, AGENT, authority);
    tool = await httpService(
      await open('TOOL'),
      (id) => id.toString() === admitted,
      (req, res) => void res.end(peerOf(req).id.toString()),
    );
    const agent = await open('AGENT');
    fetch = createFetch(agent, { peers: { [service.origin]: AUTHORITY } });
    guard = await createGuard({
      identity: agent,
      policy: functionPolicy(() => true),
      audit: log,
      credentials: taskCredentials({ authority: service.origin, fetch }),
    });
  });
  after(async () => {
    await guard?.close();
    await fetch?.close();
    await tool?.close();
    await service?.close();
    for (const workload of workloads) await workload.close();
    await spire?.close();
  });

  it('is let in by its ID where the other tasks of the agent and the agent are not', async () => {
    const [one, other] = await Promise.all([
      guard.startTask(withSvid()),
      guard.startTask(withSvid()),
    ]);
    admitted = `${AGENT}/task/${one.id}`;
    const peers = { [tool.origin]: TOOL };
    await using byOne = createFetch(one.identity, { peers });
    await using byOther = createFetch(other.identity, { peers });
    expect(await (await byOne(tool.origin)).text()).to.equal(admitted);
    await rejection('ERR_SPIFFE_REFUSED_BY_PEER', byOther(tool.origin));
    await one.end();
    await until(
      () => tool.connections.every(({ destroyed }) => destroyed),
      () => 'a connection of the task is still open',
    );
    await rejection('ERR_SPIFFE_SOURCE_CLOSED', byOne(tool.origin));
    await other.end();
    expect(log.of('credential')).to.have.length(4);
  });

  it('is not started while SPIRE is down, and is when it is back', async () => {
    await spire.stopServer();
    await rejection('ERR_SPIFFE_CREDENTIAL_UNAVAILABLE', guard.startTask(withSvid()));
    await until(
      () => guard.tasks.length === 0,
      () => 'the task that was not started is not over',
    );
    await spire.startServer();
    await until(
      () =>
        guard.startTask(withSvid()).then(
          (task) => task.end().then(() => true),
          () => false,
        ),
      () => 'no task starts any more',
    );
  });

  it('is not started while the authority is down, and is when it is back', async () => {
    const { server, port } = service;
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
    await rejection('ERR_SPIFFE_CREDENTIAL_UNAVAILABLE', guard.startTask(withSvid()));
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    await (await guard.startTask(withSvid())).end();
  });
});
