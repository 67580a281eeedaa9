import { Client, ProtocolError } from '@modelcontextprotocol/client';
import { McpServer } from '@modelcontextprotocol/server';
import {
  allArguments,
  type CallContext,
  type CallGrant,
  createGuard,
  exact,
  functionPolicy,
  GRANT_META_KEY,
  type GuardedTool,
  type RevocationSource,
  type TaskOptions,
  wildcard,
} from 'agent-spiffe/agent';
import { guardMcpClient, guardMcpServer } from 'agent-spiffe/mcp';
import { expect } from 'chai';
import { z } from 'zod';
import type { JsonRecord } from '#lib/internal/json.js';
import { MemoryLog, taskOf } from '../../agent/support.js';
import { rejection } from '../../support/rejection.js';
import {
  CLERK,
  CRM,
  CRM_TOOLS,
  crm,
  type Done,
  type Guarded,
  MODERN,
  once,
  RESEARCHER,
  type Served,
  World,
} from './world.js';

const RENAME = { effect: 'write', sink: { clearance: 'confidential', outside: false } } as const;
const FULL = { id: '7', name: 'acme' };

/** What the server tells of its refusal. */
async function toldOf(call: Promise<unknown>): Promise<unknown> {
  const error: unknown = await call.then(
    () => expect.fail('it was not refused'),
    (thrown: unknown) => thrown,
  );
  if (error instanceof ProtocolError) return error.data;
  throw error;
}

const may = (more: Partial<TaskOptions> = {}): TaskOptions =>
  taskOf({ rename: allArguments() }, more);

/** Says of its results what nobody understands. */
function mumbling(): McpServer {
  const server = new McpServer({ name: 'other', version: '1.0.0' });
  const spec = { inputSchema: z.object({ id: z.string(), name: z.string() }) };
  server.registerTool('rename', spec, () => ({
    content: [],
    _meta: { 'agent-spiffe/labels': 'public' },
  }));
  return server;
}

describe('grants over MCP', () => {
  let world: World;
  let served: Served;
  let done: Done[];
  let agent: Guarded;
  let client: Client;
  let rename: GuardedTool<JsonRecord, unknown>;

  beforeEach(async () => {
    world = await World.open();
    done = [];
    const identity = await world.workload(CRM);
    const log = new MemoryLog();
    const policy = functionPolicy(() => true);
    const revocation: RevocationSource = { status: () => 'active' };
    const guard = await createGuard({ identity, audit: log, policy, revocation });
    served = await world.serve(
      {
        server: crm(done),
        tools: CRM_TOOLS,
        task: () => once({ rename: { id: wildcard(), name: exact('acme') } }),
        grants: { issuers: RESEARCHER },
      },
      { guard, log },
    );
    agent = await world.guard(RESEARCHER);
    client = new Client({ name: 'agent', version: '1.0.0' }, MODERN);
    const fetch = await world.fetch(RESEARCHER, served.url);
    const tools = { rename: RENAME };
    ({ rename } = await guardMcpClient(agent.guard, client, {
      url: served.url,
      fetch,
      tools,
      grants: true,
    }));
  });

  afterEach(async () => {
    await client.close();
    await world[Symbol.asyncDispose]();
  });

  it('a call carries the grant of its task, and the server knows by whose it was', async () => {
    await agent.guard.task(may(), () => rename(FULL));
    expect(done).to.deep.equal([['rename', FULL]]);
    const [accepted] = served.log.of('grant.accept');
    expect(accepted).to.include({ tool: 'rename', issuer: RESEARCHER });
    expect(accepted?.grant.chain).to.deep.equal(agent.log.of('grant.issue')[0]?.grant.chain);
  });

  it('what the caller has read is in the task at the server, and what that says comes back', async () => {
    const secret = { confidentiality: 'confidential', integrity: 'trusted' } as const;
    await agent.guard.task(may({ labels: { confidentiality: 'internal' } }), () => rename(FULL));
    const [ended] = served.log.of('task.end').filter(({ calls }) => calls > 0);
    expect(ended?.labels).to.deep.equal({ confidentiality: 'internal', integrity: 'trusted' });
    // The agent's own guard takes the server for one inside; the server knows what its sink takes.
    const inside = agent.guard.task(may({ labels: secret }), () => rename(FULL));
    expect(await toldOf(inside)).to.deep.equal({ reason: 'label' });
    expect(done).to.have.lengthOf(1);
  });

  it('a call without a grant, or whose grant was used, is refused', async () => {
    const other = await world.client(RESEARCHER, served.url);
    expect(await toldOf(other.callTool({ name: 'rename', arguments: FULL }))).to.deep.equal({
      reason: 'grant',
      step: 'presentation',
    });
    expect(done).to.deep.equal([]);

    const holder = await world.guard(RESEARCHER);
    const show = holder.guard.tool('rename', RENAME, (_: object, context: CallContext) =>
      context.showGrant({ audience: CRM }),
    );
    const grant: CallGrant = await holder.guard
      .startTask(may())
      .then((task) => task.run(() => show(FULL)));
    const meta = { [GRANT_META_KEY]: grant.toJSON() };
    const call = (more: object = {}): Promise<unknown> =>
      other.callTool({ name: 'rename', arguments: { ...FULL, ...more }, _meta: meta });
    expect(await toldOf(call({ id: '8' }))).to.deep.equal({ reason: 'grant', step: '7f' });
    const clerk = await world.client(CLERK, served.url);
    expect(
      await toldOf(clerk.callTool({ name: 'rename', arguments: FULL, _meta: meta })),
    ).to.deep.equal({ reason: 'grant', step: 'peer' });
    await call();
    expect(await toldOf(call())).to.deep.equal({ reason: 'grant', step: '7i' });
    expect(done).to.deep.equal([['rename', FULL]]);
  });

  it('a grant is taken of those alone whom the server names, and naming none is an error', async () => {
    const clerk = await world.guard(CLERK);
    const show = clerk.guard.tool('rename', RENAME, (_: object, context: CallContext) =>
      context.showGrant({ audience: CRM }),
    );
    const grant: CallGrant = await clerk.guard
      .startTask(may())
      .then((task) => task.run(() => show(FULL)));
    const other = await world.client(CLERK, served.url);
    const call = other.callTool({
      name: 'rename',
      arguments: FULL,
      _meta: { [GRANT_META_KEY]: grant.toJSON() },
    });
    expect(await toldOf(call)).to.deep.equal({ reason: 'grant', step: 'issuer' });
    expect(done).to.deep.equal([]);
    for (const grants of [true, {}, { issuers: [] }, { issuers: CLERK, more: 1 }]) {
      const options = { server: crm(done), tools: CRM_TOOLS, task: () => undefined, grants };
      const error = await guardMcpServer(clerk.guard, options as never).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error, JSON.stringify(grants))
        .to.have.property('code')
        .that.is.oneOf(['ERR_SPIFFE_OPTION_INVALID', 'ERR_SPIFFE_PEER_RULE_INVALID']);
    }
  });

  it('the server bounds a call all the same, whatever the grant allows', async () => {
    expect(
      await toldOf(agent.guard.task(may(), () => rename({ id: '7', name: 'globex' }))),
    ).to.deep.equal({ reason: 'grant', step: 'receiver' });
    expect(done).to.deep.equal([]);
    expect(served.log.of('grant.refuse')[0]).to.include({ step: 'receiver', tool: 'rename' });
  });

  it('a result that says what nobody understands is taken at the worst', async () => {
    const plain = await world.serve(
      {
        server: mumbling,
        tools: { rename: CRM_TOOLS.rename },
        task: () => once({ rename: allArguments() }),
      },
      await world.guard(CRM),
    );
    const other = new Client({ name: 'other', version: '1.0.0' }, MODERN);
    const { guard } = await world.guard(RESEARCHER);
    const fetch = await world.fetch(RESEARCHER, plain.url);
    const tools = await guardMcpClient(guard, other, {
      url: plain.url,
      fetch,
      tools: { rename: RENAME },
      grants: true,
    });
    await guard.task(may({ clearance: 'restricted' }), async (task) => {
      await tools.rename(FULL);
      expect(task.labels).to.deep.equal({ confidentiality: 'restricted', integrity: 'untrusted' });
    });
    await other.close();
  });

  it('a body that two parsers read in two ways is refused whole', async () => {
    const fetch = await world.fetch(RESEARCHER, served.url);
    const post = async (args: string): Promise<number> => {
      const params = `{"name":"rename","arguments":${args}}`;
      const { status } = await fetch(served.url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'application/json, text/event-stream',
        },
        body: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":${params}}`,
      });
      return status;
    };
    expect(await post('{"id":"7","id":"8"}')).to.equal(400);
    expect(await post('{"id":9007199254740993}')).to.equal(400);
    expect(await post('{"id":"7"}')).to.equal(200);
    expect(done).to.deep.equal([]);
  });

  it('a client makes no guarded tool under a name that the server does not have for it', async () => {
    const other = new Client({ name: 'other', version: '1.0.0' }, MODERN);
    const { guard } = await world.guard(RESEARCHER);
    const fetch = await world.fetch(RESEARCHER, served.url);
    const wrap = (grants: boolean): Promise<unknown> =>
      guardMcpClient(guard, other, {
        url: served.url,
        fetch,
        tools: { renamed: { ...RENAME, remoteName: 'rename' } },
        grants,
      });
    await rejection('ERR_SPIFFE_OPTION_INVALID', wrap(true));
    await wrap(false);
    await other.close();
  });
});
