import { down, up } from './demo.mjs';
import { runToEnd, say, script } from './script.mjs';

// node spire-config/run.mjs COMMAND [ARGUMENTS]: runs a command with SPIFFE_ENDPOINT_SOCKET set to the demo's SPIRE, and
// SPIRE_SERVER_ADDRESS to the API of its server.
// Where that is not up, it is started for the command and ended after it.
const [command, ...args] = process.argv.slice(2);

await script('spire-config/run', async () => {
  if (command === undefined) throw new Error('no command given');
  const { address, server, started } = await up({ say });
  // Ctrl-C reaches the command too; this process stays to clear up after it.
  process.on('SIGINT', () => {});
  try {
    const env = { ...process.env, SPIFFE_ENDPOINT_SOCKET: address, SPIRE_SERVER_ADDRESS: server };
    process.exitCode = await runToEnd(command, args, { env });
  } finally {
    if (started) await down();
  }
});
