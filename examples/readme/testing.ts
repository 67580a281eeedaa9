import { Workload } from 'agent-spiffe';
import { WorkloadApiServer } from 'agent-spiffe/testing';

await using api = await WorkloadApiServer.open({
  trustDomain: 'example.org',
  identities: ['spiffe://example.org/agents/researcher'],
});
await using me = await Workload.open({ address: api.address });

api.rotateSvids(); // also: rotateCa, withdraw, federate, disconnect, failWith, corruptSvids …
for await (const { sequence, svid } of me.updates()) {
  console.log(sequence, svid?.id.toString());
  if (sequence === 2) break;
}
