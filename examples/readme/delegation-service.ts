import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Identity } from 'agent-spiffe';
import { type Guard, grantedCall, requireGrant, tellLabels } from 'agent-spiffe/agent';
import { createServer } from 'agent-spiffe/http';

type Letter = { to: string; body: string };

export function serveMail(me: Identity, guard: Guard, post: (letter: Letter) => Promise<string>) {
  const sendMail = guard.tool(
    'send_mail',
    { effect: 'egress', sink: { clearance: 'public' } }, // it leaves the house
    post,
  );
  const gate = requireGrant(guard, {
    tool: 'send_mail',
    issuers: 'spiffe://example.org/agents/orchestrator', // whose tasks may send mail at all
  });
  const carryOut = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const { task, args } = grantedCall(req); // for this call alone; it ends with the response
    try {
      const done = await task.run(() => sendMail(args as Letter));
      tellLabels(res, task); // what has been read for this answer
      res.end(done);
    } catch {
      res.writeHead(422).end(); // a refusal by this guard, such as of what the caller has read
    }
  };
  return createServer(me, { allow: 'spiffe://example.org/agents/*' }, (req, res) => {
    gate(req, res, () => void carryOut(req, res));
  });
}
