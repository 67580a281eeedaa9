import { Workload } from 'agent-spiffe';

await using me = await Workload.open();
if (me.id.path === '') throw new Error('no identity');
