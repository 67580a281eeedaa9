import { allArguments, oneOf, optional, type StandardSchema, wildcard } from 'agent-spiffe/agent';
import { expect } from 'chai';
import * as v from 'valibot';
import { z } from 'zod';
import { bench, rejection, taskOf } from './support.js';

const READ = {
  effect: 'read',
  returns: { confidentiality: 'public', integrity: 'trusted' },
} as const;

function schemaThat(validate: () => unknown): StandardSchema {
  return { '~standard': { version: 1, vendor: 'test', validate } } as StandardSchema;
}

describe('a tool with a schema', () => {
  it('of zod validates its arguments, and gets what the schema makes of them', async () => {
    const { guard, log } = await bench();
    const schema = z.object({ q: z.string().trim().min(1), limit: z.number().int().default(10) });
    const search = guard.tool(
      'search',
      { ...READ, schema },
      ({ q, limit }) => `${q}/${limit.toFixed(0)}`,
    );
    await guard.task(taskOf({ search: allArguments() }), async () => {
      expect(await search({ q: ' acme ' })).to.equal('acme/10');
      const error = await rejection(search({ q: '  ', limit: 3 }));
      expect(error).to.include({ code: 'ERR_SPIFFE_DENIED', reason: 'argument' });
      expect(error.message).to.include('"q"');
      expect(await rejection(search({} as never))).to.include({ reason: 'argument' });
    });
    expect(log.of('call.intent')[0]?.request.context.arguments).to.deep.equal({
      q: 'acme',
      limit: 10,
    });
  });

  it('of valibot does the same', async () => {
    const { guard } = await bench();
    const schema = v.object({
      q: v.pipe(v.string(), v.trim(), v.minLength(1)),
      limit: v.optional(v.number(), 10),
    });
    const search = guard.tool(
      'search',
      { ...READ, schema },
      ({ q, limit }) => `${q}/${limit.toFixed(0)}`,
    );
    await guard.task(taskOf({ search: allArguments() }), async () => {
      expect(await search({ q: ' acme ' })).to.equal('acme/10');
      expect((await rejection(search({ q: ' ' }))).message).to.include('"q"');
    });
  });

  it('is judged by what the function gets: a default that the task does not name is refused', async () => {
    const { guard } = await bench();
    const schema = z.object({
      to: z.string().toLowerCase(),
      cc: z.string().default('list@acme.example'),
    });
    const send = guard.tool('send', { ...READ, schema }, ({ to }) => to);
    await guard.task(taskOf({ send: { to: oneOf('ann') } }), async () => {
      expect(await rejection(send({ to: 'ann' }))).to.include({ reason: 'argument' });
    });
    await guard.task(taskOf({ send: { to: oneOf('ann'), cc: optional(wildcard()) } }), async () => {
      expect(await send({ to: 'ANN' })).to.equal('ann');
    });
  });

  it('that gives what is no JSON is refused, since no record could hold what was judged', async () => {
    const { guard } = await bench();
    const schema = z.object({ at: z.string().transform((text) => new Date(text)) });
    const book = guard.tool('book', { ...READ, schema }, () => 'booked');
    await guard.task(taskOf({ book: allArguments() }), async () => {
      expect(await rejection(book({ at: '2026-11-24' }))).to.include({ reason: 'argument' });
    });
  });

  it('that waits, throws, or is beside itself is refused', async () => {
    const { guard } = await bench();
    const tools = [
      () => Promise.resolve({ value: {} }),
      () => Promise.reject(new Error('late')),
      () => {
        throw new Error('broken');
      },
      () => undefined,
      () => ({ value: 'text' }),
      () => ({ issues: [] }),
    ].map((validate, i) =>
      guard.tool(`t${i}`, { ...READ, schema: schemaThat(validate) }, () => 'ran'),
    );
    const good = guard.tool(
      'good',
      { ...READ, schema: schemaThat(() => ({ value: {} })) },
      () => 'ran',
    );
    const names = [...tools.keys()].map((i) => [`t${i}`, allArguments()] as const);
    await guard.task(taskOf({ ...Object.fromEntries(names), good: allArguments() }), async () => {
      for (const tool of tools)
        expect(await rejection(tool({}))).to.include({ reason: 'argument' });
      const [waits] = tools;
      expect((await rejection(waits?.({}) as Promise<unknown>)).message).to.include(
        'asynchronously',
      );
      expect(await good({})).to.equal('ran');
    });
  });

  it('does not tell the values that it refuses', async () => {
    const { guard, log } = await bench();
    const schema = z.object({ password: z.enum(['a', 'b']) }).strict();
    const login = guard.tool('login', { ...READ, schema }, () => 'in');
    const json = z.object({ text: z.string().transform((text): unknown => JSON.parse(text)) });
    const parse = guard.tool('parse', { ...READ, schema: json }, () => 'parsed');
    await guard.task(taskOf({ login: allArguments(), parse: allArguments() }), async () => {
      const error = await rejection(login({ password: 'hunter2' } as never));
      expect(error.message).to.include('"password"').and.not.include('hunter2');
      const broken = await rejection(parse({ text: 'hunter2' }));
      expect(broken.message).to.include('schema').and.not.include('hunter2');
    });
    expect(JSON.stringify(log.events)).not.to.include('hunter2');
  });

  it('tells its input schema where the schema can say it, and does without where it cannot', async () => {
    const { guard } = await bench();
    guard.tool(
      'zod',
      { ...READ, schema: z.object({ q: z.string(), n: z.number().optional() }) },
      () => 1,
    );
    guard.tool('valibot', { ...READ, schema: v.object({ q: v.string() }) }, () => 1);
    guard.tool('date', { ...READ, schema: z.object({ at: z.date() }) }, () => 1);
    guard.tool(
      'told',
      { ...READ, schema: z.object({ q: z.string() }), inputSchema: { type: 'object' } },
      () => 1,
    );
    const schemas = Object.fromEntries(
      guard.tools.map(({ name, inputSchema }) => [name, inputSchema]),
    );
    expect(schemas['zod']).to.deep.include({
      type: 'object',
      properties: { q: { type: 'string' }, n: { type: 'number' } },
      required: ['q'],
    });
    expect(schemas['valibot']).to.equal(undefined);
    expect(schemas['date']).to.equal(undefined);
    expect(schemas['told']).to.deep.equal({ type: 'object' });
  });
});
