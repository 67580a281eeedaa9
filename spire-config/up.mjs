import { up } from './demo.mjs';
import { say, script } from './script.mjs';

await script('spire:up', async () => {
  const { address, started } = await up({ say });
  say(`SPIRE is up${started ? '' : ' already'}. To use it in this shell:`);
  process.stdout.write(`export SPIFFE_ENDPOINT_SOCKET=${address}\n`);
});
