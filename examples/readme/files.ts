import { SvidFileWriter, Workload } from 'agent-spiffe';

// From files, as spiffe-helper, a volume of Kubernetes or the writer below leave them.
const fromFiles = await Workload.openFiles('/run/svid');
console.log(fromFiles.id.toString(), fromFiles.state);

// To files, for a program that knows nothing of SPIFFE; it is told after each rotation.
await using me = await Workload.open();
await using writer = await SvidFileWriter.open(me, '/run/nginx-svid', { keyMode: 0o640 });
for await (const _ of writer.updates()) process.kill(Number(process.env['NGINX_PID']), 'SIGHUP');
