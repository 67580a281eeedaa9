import { createGuard, functionPolicy, type Guard } from 'agent-spiffe/agent';
import { createFetch, createServer, peerOf } from 'agent-spiffe/http';
import { expect } from 'chai';
import { MemoryLog } from '../agent/support.js';
import { ask, describeInterop } from '../support/interop.js';
import { listen } from '../support/listen.js';
import { rejection } from '../support/rejection.js';
import { withSvid } from '../support/task-credential.js';
import {
  GO,
  type MtlsPeer,
  OURS,
  RUST,
  type Sides,
  sides,
  THEIRS,
  theirServer,
} from './mtls-peer.js';

/** A guard whose tasks are certified by the authority that the other side trusts. */
function guardOf({ api, me }: Sides): Promise<Guard> {
  return createGuard({
    identity: me,
    policy: functionPolicy(() => true),
    audit: new MemoryLog(),
    credentials: {
      issue: ({ csr, expiresAt }) =>
        Promise.resolve(api.mint(csr, { ttlMs: expiresAt.getTime() - Date.now() })),
    },
  });
}

function suite(peer: MtlsPeer): void {
  it('lets in a task by its SPIFFE ID, and no other task, nor the agent', async () => {
    await using both = await sides();
    await using guard = await guardOf(both);
    const task = await guard.startTask(withSvid());
    const other = await guard.startTask(withSvid());
    const id = `${OURS}/task/${task.id}`;
    await using server = await theirServer(peer, both.api.address, id);
    const peers = { [server.origin]: THEIRS };
    await using fetch = createFetch(task.identity, { peers });
    const response = await fetch(server.origin, { method: 'POST', body: 'by a task' });
    expect(await response.json()).to.include({ peer: id, body: 'by a task' });
    for (const identity of [other.identity, both.me]) {
      await using refused = createFetch(identity, { peers });
      await rejection('ERR_SPIFFE_REFUSED_BY_PEER', refused(server.origin));
    }
  });

  it('calls a task that serves, and knows it by its SPIFFE ID', async () => {
    await using both = await sides();
    await using guard = await guardOf(both);
    const task = await guard.startTask(withSvid());
    const id = `${OURS}/task/${task.id}`;
    const server = createServer(task.identity, { allow: THEIRS }, (req, res) =>
      res.end(peerOf(req).id.toString()),
    );
    const port = await listen(server);
    const said = await ask(peer.language, ...peer.call(both.api.address, id, port));
    expect(said).to.include({ status: 200, peer: id, body: THEIRS });
    server.close();
  });
}

describeInterop('go', 'go-spiffe and a task with an SVID of its own', () => suite(GO));
describeInterop('rust', 'rust-spiffe and a task with an SVID of its own', () => suite(RUST));
