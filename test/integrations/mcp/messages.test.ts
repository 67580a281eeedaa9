import type {
  JSONRPCMessage,
  JSONRPCRequest,
  JSONRPCResponse,
  Transport,
} from '@modelcontextprotocol/server';
import { expect } from 'chai';
import { type Behind, interpose } from '#lib/integrations/mcp/messages.js';
import { deferred } from '../../agent/support.js';

const request = (id: number, method = 'tools/call'): JSONRPCRequest => ({
  jsonrpc: '2.0',
  id,
  method,
});
const answer = (id: number, from = 'server'): JSONRPCResponse => ({
  jsonrpc: '2.0',
  id,
  result: { from },
});
const progress = { jsonrpc: '2.0', method: 'notifications/progress' } as const;

const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** A connection with someone in between, who answers as the test says. */
function connection() {
  /** What the server gets, and what the caller gets. */
  const toServer: JSONRPCMessage[] = [];
  const toCaller: JSONRPCMessage[] = [];
  const asked: {
    request: JSONRPCRequest;
    behind: Behind;
    answer: (with_: JSONRPCResponse) => void;
  }[] = [];
  const transport: Transport = {
    start: () => Promise.resolve(),
    close: () => Promise.resolve(),
    onmessage: (message) => toServer.push(message),
    send: (message) => Promise.resolve(void toCaller.push(message)),
  };
  interpose(transport, (stopped, behind) => {
    const { promise, resolve } = deferred<JSONRPCResponse>();
    asked.push({ request: stopped, behind, answer: resolve });
    return promise;
  });
  return { transport, toServer, toCaller, asked };
}

describe('whoever stands between a connection and the MCP server', () => {
  it('stops a request, has the server asked what it wants asked, and gives its own answer', async () => {
    const { transport, toServer, toCaller, asked } = connection();
    transport.onmessage?.(request(1));
    expect(toServer).to.deep.equal([]);
    const [stopped] = asked;
    const told = stopped?.behind.ask(request(1, 'tools/other'));
    expect(toServer).to.deep.equal([request(1, 'tools/other')]);
    await transport.send(progress, { relatedRequestId: 1 });
    await transport.send(answer(1));
    expect(await told).to.deep.equal(answer(1));
    expect(toCaller, 'progress, but not the answer').to.deep.equal([progress]);
    stopped?.answer(answer(1, 'between'));
    await settled();
    expect(toCaller).to.deep.equal([progress, answer(1, 'between')]);
  });

  it('lets through what is harmless, and its answer', async () => {
    const { transport, toServer, toCaller, asked } = connection();
    transport.onmessage?.(request(1, 'server/discover'));
    await transport.send(answer(1));
    expect([asked, toServer, toCaller]).to.deep.equal([
      [],
      [request(1, 'server/discover')],
      [answer(1)],
    ]);
  });

  it('drops what the server says of a request once it was cancelled, or answered', async () => {
    const { transport, toServer, toCaller, asked } = connection();
    transport.onmessage?.(request(1));
    const [stopped] = asked;
    void stopped?.behind.ask(request(1));
    stopped?.behind.cancel();
    expect(toServer.at(-1)).to.deep.include({
      method: 'notifications/cancelled',
      params: { requestId: 1 },
    });
    await transport.send(answer(1));
    stopped?.answer(answer(1, 'between'));
    await settled();
    await transport.send(answer(1));
    await transport.send(progress, { relatedRequestId: 1 });
    expect(toCaller).to.deep.equal([answer(1, 'between')]);
    await transport.send(progress);
    expect(toCaller).to.deep.equal([answer(1, 'between'), progress]);
  });

  it('takes of two requests with one id the first, until that is answered', async () => {
    const { transport, asked } = connection();
    transport.onmessage?.(request(1));
    transport.onmessage?.(request(1));
    transport.onmessage?.(request(1, 'server/discover'));
    expect(asked).to.have.length(1);
    asked[0]?.answer(answer(1));
    await settled();
    transport.onmessage?.(request(1));
    expect(asked).to.have.length(2);
  });

  it('drops answers of the caller, of whom the server can have asked nothing', () => {
    const { transport, toServer } = connection();
    transport.onmessage?.(answer(1));
    expect(toServer).to.deep.equal([]);
    transport.onmessage?.({ jsonrpc: '2.0', method: 'notifications/initialized' });
    expect(toServer).to.have.length(1);
  });
});
