import { once as event } from 'node:events';
import { createServer as createPlainServer, type IncomingMessage } from 'node:http';
import { type RequestOptions, request } from 'node:https';
import { join } from 'node:path';
import { type Client, ProtocolError } from '@modelcontextprotocol/client';
import { McpServer, Server, type ServerContext } from '@modelcontextprotocol/server';
import { BundleSource, UNAUTHENTICATED_CLIENTS } from 'agent-spiffe';
import {
  allArguments,
  auditLog,
  createGuard,
  exact,
  functionPolicy,
  readAuditLog,
  verifyAuditLog,
  wildcard,
} from 'agent-spiffe/agent';
import { createAgent, createFetch, createServer } from 'agent-spiffe/http';
import { guardMcpServer, type McpServerOptions } from 'agent-spiffe/mcp';
import { expect } from 'chai';
import { z } from 'zod';
import { deferred } from '../../agent/support.js';
import { TemporaryDirectory } from '../../support/audit.js';
import { listen } from '../../support/listen.js';
import { memoryLogger } from '../../support/memory-logger.js';
import { rejection } from '../../support/rejection.js';
import { until } from '../../support/until.js';
import {
  CLERK,
  CRM,
  CRM_TOOLS,
  crm,
  type Done,
  MODERN,
  once,
  RESEARCHER,
  type Served,
  World,
} from './world.js';

/** The error of the protocol with which a request is answered. */
async function refusal(answer: Promise<unknown>): Promise<ProtocolError> {
  const error: unknown = await answer.then(
    (value) => expect.fail(`it was not refused: ${JSON.stringify(value)}`),
    (reason: unknown) => reason,
  );
  if (error instanceof ProtocolError) return error;
  throw error;
}

/** What a refusal is to the caller: all of it. */
const REFUSED = (reason: string): object => ({
  code: -32_003,
  message: `refused: ${reason}`,
  data: { reason },
});

const shown = ({ code, message, data }: ProtocolError): object => ({ code, message, data });

async function names(client: Client): Promise<readonly string[]> {
  const { tools } = await client.listTools();
  return tools.map(({ name }) => name);
}

describe('guardMcpServer', () => {
  let world: World;
  let done: Done[] = [];

  before(async () => {
    world = await World.open();
  });
  after(() => world[Symbol.asyncDispose]());
  beforeEach(() => {
    done = [];
  });

  async function serve(
    options: Partial<McpServerOptions> = {},
    policy?: Parameters<World['guard']>[1],
  ): Promise<Served> {
    const whole = { server: crm(done), tools: CRM_TOOLS, task: () => once(), ...options };
    return await world.serve(whole, await world.guard(CRM, policy));
  }

  describe('callers', () => {
    it('are served by the SPIFFE ID that mutual TLS proved, each with a list and with calls of its own, at the same time', async () => {
      const { url } = await serve({
        task: ({ path }) =>
          path === '/agents/clerk'
            ? once({ rename: allArguments() })
            : once({ search: allArguments() }),
      });
      const researcher = await world.client(RESEARCHER, url);
      const clerk = await world.client(CLERK, url);
      const lists = await Promise.all([names(researcher), names(clerk), names(researcher)]);
      expect(lists).to.deep.equal([['search'], ['rename'], ['search']]);
      await researcher.callTool({ name: 'search', arguments: { q: 'acme' } });
      const call = clerk.callTool({ name: 'search', arguments: { q: 'acme' } });
      expect(shown(await refusal(call))).to.deep.equal(REFUSED('tool-not-in-task'));
      expect(done).to.deep.equal([['search', { q: 'acme' }]]);
    });

    it('are refused when the server has no task for them, whatever they ask', async () => {
      const logger = memoryLogger();
      const { url, log } = await serve({
        logger,
        task: async ({ path }) =>
          await Promise.resolve(path === '/agents/clerk' ? once() : undefined),
      });
      expect(await names(await world.client(CLERK, url))).to.have.members(['search', 'rename']);
      const before = log.events.length;
      const fetch = await world.fetch(RESEARCHER, url);
      for (const method of ['initialize', 'server/discover', 'tools/list', 'tools/call']) {
        const body = JSON.stringify({ jsonrpc: '2.0', id: 7, method, params: { name: 'search' } });
        const answer = await fetch(url, { method: 'POST', headers: HEADERS, body });
        expect(answer.status).to.equal(403);
        expect(await answer.json()).to.deep.equal({
          jsonrpc: '2.0',
          id: null,
          error: { code: -32_003, message: 'refused: caller' },
        });
      }
      expect(log.events.length).to.equal(before);
      expect(logger.at('warn').map(({ fields }) => fields['peer'])).to.deep.equal(
        Array.from({ length: 4 }, () => RESEARCHER),
      );
    });

    it('are refused when nobody has verified who they are', async () => {
      const { guard } = await world.guard(CRM);
      const logger = memoryLogger();
      const handler = await guardMcpServer(guard, {
        server: crm(done),
        tools: CRM_TOOLS,
        task: askedAboutNobody,
        logger,
      });
      const plain = createPlainServer(handler);
      const port = await listen(plain);
      const overPlain = await fetch(`http://127.0.0.1:${port}/mcp`, LIST);
      expect(overPlain.status).to.equal(403);
      plain.close();

      const server = createServer(
        await world.workload(CRM),
        { allow: UNAUTHENTICATED_CLIENTS },
        handler,
      );
      const origin = `https://127.0.0.1:${await listen(server)}`;
      await using bundles = await BundleSource.open({ address: world.address });
      await using nobody = createFetch(bundles, { peers: { [origin]: CRM } });
      expect((await nobody(`${origin}/mcp`, LIST)).status).to.equal(403);
      server.close();
      expect(
        logger.at('warn').map(({ fields }) => (fields['err'] as { code: string }).code),
      ).to.deep.equal(['ERR_SPIFFE_PEER_UNKNOWN', 'ERR_SPIFFE_PEER_NO_CERTIFICATE']);
    });

    it('are refused when a web page sent them', async () => {
      const { url } = await serve();
      const fetch = await world.fetch(RESEARCHER, url);
      const from = (headers: object) =>
        fetch(url, { ...LIST, headers: { ...HEADERS, ...headers } });
      expect((await from({ origin: 'https://evil.example' })).status).to.equal(403);
      expect((await from({})).status).to.equal(200);
    });
  });

  describe('calls', () => {
    it('are judged by their arguments as they came, not as the schema of the tool makes them', async () => {
      const { url } = await serve({
        task: () =>
          once({ search: { q: exact('acme') }, rename: { id: wildcard(), name: exact('nobody') } }),
      });
      const client = await world.client(RESEARCHER, url);
      for (const [name, args] of [
        ['search', { q: 'evil' }],
        ['search', { q: 'acme', more: 'zod would drop it' }],
        ['search', {}],
        ['rename', { id: '1' }],
      ] as const)
        expect(shown(await refusal(client.callTool({ name, arguments: args })))).to.deep.equal(
          REFUSED('argument'),
        );
      expect(done).to.deep.equal([]);
      const found = await client.callTool({ name: 'search', arguments: { q: 'acme' } });
      expect(found.content).to.deep.equal([{ type: 'text', text: 'found acme' }]);
      await client.callTool({ name: 'rename', arguments: { id: '1', name: 'nobody' } });
      expect(done).to.deep.equal([
        ['search', { q: 'acme' }],
        ['rename', { id: '1', name: 'nobody' }],
      ]);
    });

    it('of a tool that the task does not have are answered as those of one that does not exist', async () => {
      const tools = { search: CRM_TOOLS.search };
      const { url, log } = await serve({
        tools: { ...tools, rename: CRM_TOOLS.rename },
        task: () => once({ search: allArguments() }),
      });
      const client = await world.client(RESEARCHER, url);
      expect(await names(client)).to.deep.equal(['search']);
      const refused = await refusal(client.callTool({ name: 'rename', arguments: { id: '1' } }));
      const unknown = await refusal(client.callTool({ name: 'none', arguments: { id: '1' } }));
      expect(shown(refused)).to.deep.equal(REFUSED('tool-not-in-task'));
      expect(shown(unknown)).to.deep.equal(shown(refused));
      expect(
        log.of('call.denied').map(({ call, denial }) => [call.tool, denial.reason]),
      ).to.deep.equal([
        ['rename', 'tool-not-in-task'],
        ['none', 'tool-not-in-task'],
      ]);
      expect(done).to.deep.equal([]);
    });

    it('of a tool without a spec are refused, and it is not listed, even if the guard has one of its name', async () => {
      const own = await world.guard(CRM);
      own.guard.tool('rename', { effect: 'privilege' }, () => 'renamed something else');
      const options = {
        server: crm(done),
        tools: { search: CRM_TOOLS.search },
        task: () => once(),
      };
      const { url } = await world.serve(options, own);
      const client = await world.client(RESEARCHER, url);
      expect(await names(client)).to.deep.equal(['search']);
      await refusal(client.callTool({ name: 'rename', arguments: { id: '1' } }));
      expect(done).to.deep.equal([]);
    });

    it('are decided by the policy, which the answer does not tell of', async () => {
      const { url, log } = await serve({}, ({ resource, context }) => ({
        decision: resource.id === 'search' && context.business['caller'] === RESEARCHER,
        context: { reasons: ['only-researchers-search'] },
      }));
      const researcher = await world.client(RESEARCHER, url);
      await researcher.callTool({ name: 'search', arguments: { q: 'acme' } });
      const refused = refusal(researcher.callTool({ name: 'rename', arguments: { id: '1' } }));
      expect(shown(await refused)).to.deep.equal(REFUSED('policy'));
      const clerk = await world.client(CLERK, url);
      await refusal(clerk.callTool({ name: 'search', arguments: { q: 'acme' } }));
      expect(done).to.have.length(1);
      const told = log.of('call.denied').map(({ denial }) => denial.policies);
      expect(told).to.deep.equal([['only-researchers-search'], ['only-researchers-search']]);
    });

    it('are not made when they cannot be put on record', async () => {
      const { url, log } = await serve();
      const client = await world.client(RESEARCHER, url);
      log.before = ({ kind }) => {
        if (kind === 'call.intent') throw new Error('the disk is full');
      };
      const call = client.callTool({ name: 'search', arguments: { q: 'acme' } });
      expect(shown(await refusal(call))).to.include({ code: -32_603, message: 'Internal error' });
      expect(done).to.deep.equal([]);
      log.before = () => undefined;
      await client.callTool({ name: 'search', arguments: { q: 'acme' } });
    });

    it('take a name and arguments: what else would reach the tool unjudged is refused', async () => {
      const { url } = await serve();
      const call = async (params: object): Promise<unknown> => {
        const fetch = await world.fetch(RESEARCHER, url);
        const body = JSON.stringify({ jsonrpc: '2.0', id: 7, method: 'tools/call', params });
        const answer = await fetch(url, { method: 'POST', headers: HEADERS, body });
        const [, data = 'null'] = /^data: (.*)$/m.exec(await answer.text()) ?? [];
        return JSON.parse(data) as unknown;
      };
      const plain = { name: 'search', arguments: { q: 'acme' } };
      for (const params of [
        { ...plain, inputResponses: { confirm: { action: 'accept' } } },
        { ...plain, requestState: 'forged' },
        { ...plain, name: 7 },
        { arguments: { q: 'acme' } },
      ])
        expect(await call(params)).to.have.nested.property('error.code', -32_602);
      for (const args of ['acme', ['acme'], null])
        expect(await call({ ...plain, arguments: args })).to.have.property('error');
      expect(done).to.deep.equal([]);
      expect(await call(plain)).to.have.property('result');
      expect(await call({ ...plain, _meta: { progressToken: 1 } })).to.have.property('result');
    });

    it('of a batch are tasks of their own, each with its budget', async () => {
      const { url, log } = await serve();
      const fetch = await world.fetch(RESEARCHER, url);
      const params = { name: 'search', arguments: { q: 'acme' } };
      const body = JSON.stringify(
        [1, 2, 2].map((id) => ({ jsonrpc: '2.0', id, method: 'tools/call', params })),
      );
      const answer = await fetch(url, { method: 'POST', headers: HEADERS, body });
      const ids = [...(await answer.text()).matchAll(/^data: (.*)$/gm)].map(
        ([, data = '']) => (JSON.parse(data) as { id: number }).id,
      );
      expect(ids).to.have.members([1, 2]);
      expect(new Set(log.of('call.outcome').map(({ task }) => task.id)).size).to.equal(2);
      expect(log.of('task.start')).to.have.length(2);
    });
  });

  describe('what is not a tool', () => {
    it('is not served, whatever the server has for it', async () => {
      const { url } = await serve({
        server: () => {
          const server = crm(done)();
          const params = { params: z.object({}) };
          server.server.setRequestHandler('own/method', params, () => ({ served: true }));
          return server;
        },
      });
      const client = await world.client(RESEARCHER, url);
      for (const method of [
        'resources/list',
        'resources/read',
        'prompts/get',
        'completion/complete',
        'own/method',
      ])
        expect(
          (await refusal(client.request({ method, params: { uri: 'file:///' } }, z.object({}))))
            .code,
        ).to.equal(-32_601);
      expect(await names(client)).to.have.length(2);
    });

    it('is not served as a notification either', async () => {
      const heard: string[] = [];
      const { url } = await serve({
        server: () => {
          const server = crm(done)();
          for (const method of ['notifications/initialized', 'own/notification'] as const)
            server.server.setNotificationHandler(method, { params: z.object({}) }, () => {
              heard.push(method);
            });
          return server;
        },
      });
      const fetch = await world.fetch(RESEARCHER, url);
      for (const method of ['own/notification', 'notifications/initialized']) {
        const body = JSON.stringify({ jsonrpc: '2.0', method, params: {} });
        expect((await fetch(url, { method: 'POST', headers: HEADERS, body })).status).to.equal(202);
      }
      await until(() => heard.length > 0);
      expect(heard).to.deep.equal(['notifications/initialized']);
    });

    it('may not be subscribed to, since a subscription would outlive every task', async () => {
      const { url } = await serve();
      const client = await world.client(RESEARCHER, url);
      const error: unknown = await client
        .listen({ toolsListChanged: true })
        .catch((reason: unknown) => reason);
      expect(String(error)).to.include('Subscription limit reached');
      const hoping = await world.client(CLERK, url, {
        ...MODERN,
        listChanged: { tools: { onChanged: () => {} } },
      });
      expect(await names(hoping), 'who asks for it is served all the same').to.have.length(2);
    });
  });

  describe('tasks', () => {
    it('are one a request to list or to call, for the caller unless the server says otherwise', async () => {
      const { url, log } = await serve({
        task: ({ path }) =>
          path === '/agents/clerk'
            ? once(undefined, { endUser: 'ann', business: { ticket: 42, caller: 'forged' } })
            : once(),
      });
      const client = await world.client(RESEARCHER, url);
      await client.listTools();
      await client.callTool({ name: 'search', arguments: { q: 'acme' } });
      await (await world.client(CLERK, url)).callTool({ name: 'search', arguments: { q: 'acme' } });
      const started = log.of('task.start');
      expect(started.map(({ task, business }) => [task.endUser, business])).to.deep.equal([
        [RESEARCHER, { caller: RESEARCHER }],
        [RESEARCHER, { caller: RESEARCHER }],
        ['ann', { ticket: 42, caller: CLERK }],
      ]);
      expect(log.of('task.end').map(({ task, ending }) => [task.id, ending])).to.deep.equal(
        started.map(({ task }) => [task.id, 'returned']),
      );
    });

    it('are in a log that holds against the bundles of SPIRE, with the caller and what was refused', async () => {
      using home = new TemporaryDirectory();
      const directory = join(home.path, 'log');
      const identity = await world.workload(CRM);
      const audit = auditLog(directory);
      const guard = await createGuard({ identity, audit, policy: functionPolicy(() => true) });
      const listener = await guardMcpServer(guard, {
        server: crm(done),
        tools: CRM_TOOLS,
        task: () => once({ search: { q: exact('acme') } }),
      });
      const service = await world.listen(listener);
      const client = await world.client(RESEARCHER, service.url);
      await Promise.all([
        client.listTools(),
        client.callTool({ name: 'search', arguments: { q: 'acme' } }),
        refusal(client.callTool({ name: 'search', arguments: { q: 'evil' } })),
        refusal(client.callTool({ name: 'rename', arguments: { id: '1' } })),
      ]);
      await guard.close();
      const { bundles } = identity.x509;
      const verdict = await verifyAuditLog(directory, { bundles, id: CRM });
      expect(verdict.problems).to.deep.equal([]);
      expect(verdict).to.include({ intact: true, trusted: true, id: CRM });
      const records: string[] = [];
      for await (const { record } of readAuditLog(directory)) records.push(JSON.stringify(record));
      const count = (text: string): number => records.filter((line) => line.includes(text)).length;
      expect([count('"task/start"'), count('"task/end"')]).to.deep.equal([4, 4]);
      expect([count('"argument"'), count('"tool-not-in-task"')]).to.deep.equal([1, 1]);
      expect(count(RESEARCHER)).to.be.at.least(8);
    });

    it('carry the tool, so that guarded tools within it are decided by what its caller may do', async () => {
      const { guard, log } = await world.guard(CRM);
      const inner = guard.tool(
        'inner',
        { effect: 'privilege' },
        ({ secret }: { secret: string }) => secret,
      );
      const server = (): McpServer => {
        const made = new McpServer({ name: 'outer', version: '1.0.0' });
        const schema = { inputSchema: z.object({ secret: z.string() }) };
        made.registerTool('outer', schema, async (args, ctx) => {
          const text = `${await inner(args)} for ${ctx.http?.authInfo?.clientId}`;
          return { content: [{ type: 'text', text }] };
        });
        return made;
      };
      const both = { outer: allArguments(), inner: { secret: exact('s3cr3t') } };
      const { url } = await world.serve(
        {
          server,
          tools: { outer: { effect: 'read', returns: { confidentiality: 'public' } } },
          task: () => once(both, { budget: { calls: 2 } }),
        },
        { guard, log },
      );
      const client = await world.client(RESEARCHER, url);
      expect(
        await names(client),
        'a guarded tool that is not of the server is not listed',
      ).to.deep.equal(['outer']);
      const call = (secret: string) => client.callTool({ name: 'outer', arguments: { secret } });
      expect((await call('s3cr3t')).content).to.deep.equal([
        { type: 'text', text: `s3cr3t for ${RESEARCHER}` },
      ]);
      const refused = await call('other');
      expect(refused.isError).to.equal(true);
      expect(refused.content, 'without the rule that it broke').to.deep.equal([
        { type: 'text', text: 'the tool failed: ERR_SPIFFE_DENIED' },
      ]);
      await refusal(client.callTool({ name: 'inner', arguments: { secret: 's3cr3t' } }));
      const [first, second] = log.of('call.intent');
      expect(second?.call.parent).to.equal(first?.call.id);
      expect(second?.task.endUser).to.equal(RESEARCHER);
    });

    it('end the tool with them: one that outlives its task is aborted, and what it says is not heard', async () => {
      const slow = slowServer();
      const { url, log } = await serve({
        server: slow.server,
        tools: { wait: { effect: 'read', returns: { confidentiality: 'public' } } },
        task: () => once({ wait: allArguments() }, { ttlMs: 50 }),
      });
      for (const options of [undefined, {}]) {
        const client = await world.client(RESEARCHER, url, options);
        const error = await refusal(client.callTool({ name: 'wait', arguments: {} }));
        expect(shown(error)).to.deep.equal(REFUSED('task-ended'));
        await until(() => slow.aborted === slow.started);
      }
      expect(slow.started).to.equal(2);
      expect(log.of('task.end').map(({ ending }) => ending)).to.deep.equal(['expired', 'expired']);
      expect(log.of('call.outcome').map(({ status }) => status)).to.deep.equal([
        'aborted',
        'aborted',
      ]);
    });

    it('cancel nothing when the tool has done its work', async () => {
      let cancelled = 0;
      const { url, log } = await serve({
        server: () => {
          const server = crm(done)();
          server.server.setNotificationHandler('notifications/cancelled', () => {
            cancelled += 1;
          });
          return server;
        },
      });
      const client = await world.client(RESEARCHER, url);
      await client.callTool({ name: 'search', arguments: { q: 'acme' } });
      expect(log.of('task.end')).to.have.length(1);
      expect(cancelled).to.equal(0);
    });

    it('abort the tool when they end, and not when that is on record at last', async () => {
      const slow = slowServer();
      const { url, log } = await serve({
        server: slow.server,
        tools: { wait: { effect: 'read', returns: { confidentiality: 'public' } } },
        task: () => once({ wait: allArguments() }, { ttlMs: 50 }),
      });
      const disk = deferred<void>();
      log.before = ({ kind }) => (kind === 'call.outcome' ? disk.promise : undefined);
      const client = await world.client(RESEARCHER, url);
      const call = refusal(client.callTool({ name: 'wait', arguments: {} }));
      await until(() => slow.aborted === 1);
      expect(log.of('call.outcome')).to.deep.equal([]);
      disk.resolve();
      expect(shown(await call)).to.deep.equal(REFUSED('task-ended'));
    });

    it('end when the signal of their options aborts', async () => {
      const slow = slowServer();
      const stopping = new AbortController();
      const { url, log } = await serve({
        server: slow.server,
        tools: { wait: { effect: 'read', returns: { confidentiality: 'public' } } },
        task: () => once({ wait: allArguments() }, { signal: stopping.signal }),
      });
      const client = await world.client(RESEARCHER, url);
      const call = refusal(client.callTool({ name: 'wait', arguments: {} }));
      await until(() => slow.started === 1);
      stopping.abort();
      expect(shown(await call)).to.deep.equal(REFUSED('task-ended'));
      expect(log.of('task.end')[0]).to.include({ ending: 'ended' });
    });

    it('end when the caller is gone, and so does the tool', async () => {
      const slow = slowServer();
      const { url, log } = await serve({
        server: slow.server,
        tools: { wait: { effect: 'read', returns: { confidentiality: 'public' } } },
        task: () => once({ wait: allArguments() }),
      });
      const client = await world.client(RESEARCHER, url);
      const leaving = new AbortController();
      const call = client.callTool({ name: 'wait', arguments: {} }, { signal: leaving.signal });
      await until(() => slow.started === 1);
      leaving.abort();
      await call.catch(() => {});
      await until(() => log.of('task.end').length === 1);
      expect(slow.aborted).to.equal(1);
      expect(log.of('task.end')[0]).to.include({ ending: 'ended' });
      expect(log.of('call.outcome')[0]).to.include({ status: 'aborted' });
    });
  });

  describe('requests', () => {
    it('that the web cannot have are answered as bad ones', async () => {
      const { url } = await serve();
      const peers = { [new URL(url).origin]: CRM };
      const agent = createAgent(await world.workload(RESEARCHER), { peers });
      const status = async (options: RequestOptions): Promise<number | undefined> => {
        const sent = request(url, { agent, ...options }).end();
        const [response] = (await event(sent, 'response')) as [IncomingMessage];
        response.resume();
        return response.statusCode;
      };
      expect(await status({ method: 'TRACE' })).to.equal(400);
      expect(await status({ headers: { host: 'a b' } })).to.equal(400);
      expect(await status({ method: 'GET' }), 'the SDK refuses it').to.equal(405);
      agent.destroy();
    });

    it('are refused by the SDK when they are too large', async () => {
      const { url } = await serve();
      const fetch = await world.fetch(RESEARCHER, url);
      const body = JSON.stringify({ jsonrpc: '2.0', id: 7, method: 'tools/list', params: {} });
      const padded = (length: number) =>
        fetch(url, { method: 'POST', headers: HEADERS, body: body.padEnd(length) });
      expect((await padded(1 << 20)).status).to.equal(200);
      expect((await padded((4 << 20) + 1)).status).to.equal(413);
    });
  });

  describe('answers', () => {
    it('come as the server gives them: errors, progress and structured content', async () => {
      const { url } = await serve({
        server: thatTellsAll,
        tools: { all: { effect: 'read', returns: { confidentiality: 'public' } } },
        task: () => once({ all: allArguments() }),
      });
      for (const options of [undefined, {}]) {
        const client = await world.client(RESEARCHER, url, options);
        const progress: number[] = [];
        const answer = await client.callTool(
          { name: 'all', arguments: { how: 'well' } },
          { onprogress: ({ progress: so }) => progress.push(so) },
        );
        expect(answer.structuredContent).to.deep.equal({ n: 7 });
        expect(progress).to.deep.equal([1]);
        const broken = await client.callTool({ name: 'all', arguments: { how: 'throws' } });
        expect(broken).to.deep.include({
          isError: true,
          content: [{ type: 'text', text: 'it broke' }],
        });
      }
    });

    it('say that a list is for its caller alone, and that there is no session', async () => {
      const { url } = await serve({ server: crm(done, { cacheHints: PUBLIC }) });
      const client = await world.client(RESEARCHER, url);
      expect(await client.listTools()).to.include({ ttlMs: 60_000, cacheScope: 'private' });
      const fetch = await world.fetch(RESEARCHER, url);
      const answer = await fetch(url, LIST);
      expect(answer.headers.get('mcp-session-id')).to.equal(null);
      await answer.text();
    });
  });

  describe('a server', () => {
    it('is refused when it offers more than tools, not all of the tools that have a spec, or none', async () => {
      const { guard } = await world.guard(CRM);
      const plain = new McpServer({ name: 'none', version: '1.0.0' });
      const options = { server: crm(), tools: CRM_TOOLS, task: () => once() };
      for (const [bad, says] of [
        [{ ...options, server: withResources }, 'it offers resources'],
        [{ ...options, server: () => plain }, 'it offers no tools'],
        [
          { ...options, tools: { ...CRM_TOOLS, drop: CRM_TOOLS.search } },
          'offers none of that name',
        ],
        [
          { ...options, tools: { search: { ...CRM_TOOLS.search, description: 'mine' } } },
          'told by the MCP server',
        ],
        [{ ...options, task: undefined }, 'is no function'],
        [{ ...options, sessions: true }, 'it has no "sessions"'],
      ] as const) {
        const error = await rejection(
          'ERR_SPIFFE_OPTION_INVALID',
          guardMcpServer(guard, bad as never),
        );
        expect(error.message).to.include(says);
      }
    });

    it('may be one of the low level, with its list in pages, in which each tool is once', async () => {
      let twice = false;
      const server = (): Server => {
        const low = new Server({ name: 'low', version: '1.0.0' }, { capabilities: { tools: {} } });
        const inputSchema = { type: 'object' as const };
        low.setRequestHandler('tools/list', ({ params }) =>
          params?.cursor === undefined
            ? { tools: [{ name: 'first', inputSchema }], nextCursor: '2' }
            : { tools: [{ name: twice ? 'first' : 'second', inputSchema }] },
        );
        low.setRequestHandler('tools/call', ({ params }) => ({
          content: [{ type: 'text', text: `${params.name} done` }],
        }));
        return low;
      };
      const specs = { first: CRM_TOOLS.search, second: CRM_TOOLS.rename };
      const both = { first: allArguments(), second: allArguments() };
      const { url } = await serve({ server, tools: specs, task: () => once(both) });
      const client = await world.client(RESEARCHER, url);
      expect(await names(client)).to.deep.equal(['first', 'second']);
      const answer = await client.callTool({ name: 'second', arguments: {} });
      expect(answer.content).to.deep.equal([{ type: 'text', text: 'second done' }]);
      twice = true;
      const { guard } = await world.guard(CRM);
      const tools = { first: CRM_TOOLS.search };
      const made = guardMcpServer(guard, { server, tools, task: () => once(both) });
      const error = await rejection('ERR_SPIFFE_OPTION_INVALID', made);
      expect(error.message).to.include('offers several of that name');
    });

    it('is made anew for each request, or else it is refused', async () => {
      const logger = memoryLogger();
      const instance = crm(done)();
      let made = 0;
      const { url } = await serve({
        logger,
        server: () => (made++ < 1 ? crm(done)() : instance),
      });
      const fetch = await world.fetch(RESEARCHER, url);
      expect((await fetch(url, LIST)).status).to.equal(200);
      expect((await fetch(url, LIST)).status).to.equal(500);
      expect(JSON.stringify(logger.lines.map(({ fields }) => String(fields['err'])))).to.include(
        'make each its own',
      );
    });

    it('fails without a word to the caller when it has no options for a task that could be taken', async () => {
      const logger = memoryLogger();
      const { url } = await serve({ logger, task: () => once({ drop: allArguments() }) });
      const client = await world.client(RESEARCHER, url);
      expect(shown(await refusal(client.listTools()))).to.include({ message: 'Internal error' });
      expect(String(logger.at('error')[0]?.fields['err'])).to.include(
        'the guard has no tool "drop"',
      );
    });
  });
});

/** A server whose tool gives each kind of answer. */
function thatTellsAll(): McpServer {
  const made = new McpServer({ name: 'all', version: '1.0.0' });
  const shape = {
    inputSchema: z.object({ how: z.string() }),
    outputSchema: z.object({ n: z.number() }),
  };
  made.registerTool('all', shape, async ({ how }, ctx: ServerContext) => {
    if (how === 'throws') throw new Error('it broke');
    const { _meta: { progressToken } = {} } = ctx.mcpReq;
    if (progressToken !== undefined)
      await ctx.mcpReq.notify({
        method: 'notifications/progress',
        params: { progressToken, progress: 1, total: 2 },
      });
    return { content: [], structuredContent: { n: how === 'wrong' ? ('x' as never) : 7 } };
  });
  return made;
}

function askedAboutNobody(): never {
  return expect.fail('it was asked about nobody');
}

/** A server that offers more than tools. */
function withResources(): McpServer {
  const server = crm()();
  server.registerResource('secret', 'secret://all', {}, () => ({ contents: [] }));
  return server;
}

/** A server whose one tool waits until it is told to stop. */
function slowServer(): { readonly server: () => McpServer; started: number; aborted: number } {
  const slow = {
    started: 0,
    aborted: 0,
    server: (): McpServer => {
      const server = new McpServer({ name: 'slow', version: '1.0.0' });
      server.registerTool('wait', {}, async ({ mcpReq: { signal } }) => {
        slow.started += 1;
        if (!signal.aborted) await event(signal, 'abort');
        slow.aborted += 1;
        return { content: [{ type: 'text', text: 'too late' }] };
      });
      return server;
    },
  };
  return slow;
}

const PUBLIC = { 'tools/list': { ttlMs: 60_000, cacheScope: 'public' } } as const;
const HEADERS = {
  'content-type': 'application/json',
  accept: 'application/json, text/event-stream',
};
const LIST = {
  method: 'POST',
  headers: HEADERS,
  body: JSON.stringify({ jsonrpc: '2.0', id: 7, method: 'tools/list' }),
};
