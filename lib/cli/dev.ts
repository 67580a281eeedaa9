import { createHash } from 'node:crypto';
import { type Command, Option } from 'commander';
import { TrustDomain } from '../identity/trust-domain.js';
import type { ServedIdentity } from '../testing/identities.js';
import { WorkloadApiServer } from '../testing/workload-api-server.js';
import { formatDuration, parseDuration } from './duration.js';
import { stopSignal } from './stop-signal.js';

interface DevOptions {
  readonly trustDomain: string;
  readonly id?: readonly ServedIdentity[];
  readonly ttl: number;
  readonly address?: string;
  readonly json?: true;
}

const EXAMPLES = `
Examples:
  agent-spiffe dev
  agent-spiffe dev --trust-domain acme.test --id spiffe://acme.test/billing=billing --ttl 30s
  agent-spiffe dev --address unix:///tmp/agent.sock --json`;

/** Adds `agent-spiffe dev`: the development Workload API, for a person. */
export function addDevCommand(program: Command): void {
  program
    .command('dev')
    .description('start a Workload API for development, with a CA that lives as long as it runs')
    .option('--trust-domain <name>', 'trust domain of the identities', 'example.org')
    .option(
      '--id <id[=hint]>',
      'SPIFFE ID to serve, with a hint to pick it by; may be given several times, the first is the default identity (default: agents/researcher, tools/search and tools/mail of the trust domain)',
      addIdentity,
    )
    .addOption(
      new Option(
        '--ttl <duration>',
        'life of each SVID, such as 30s, 5m or 1h; a JWT-SVID lives five minutes at most',
      )
        .default(3600_000, '1h')
        .argParser(parseDuration),
    )
    .option(
      '--address <address>',
      'unix:///<path>, or tcp://127.0.0.1:<port> (default: a socket in a new directory that only you may enter)',
    )
    .option('--json', 'print what is served as one line of JSON')
    .addHelpText('after', EXAMPLES)
    .action(runDev);
}

async function runDev(options: DevOptions): Promise<void> {
  // From the beginning: whatever is made from here on is removed again.
  const stopped = stopSignal();
  const { pino } = await import('pino');
  // Standard output is for what a person or a script reads once; what happens later goes to standard error.
  const logger = pino({ name: 'agent-spiffe dev' }, pino.destination({ dest: 2, sync: true }));
  const trustDomain = TrustDomain.parse(options.trustDomain);
  await using server = await WorkloadApiServer.open({
    trustDomain,
    identities: options.id ?? defaultIdentities(trustDomain),
    ttlMs: options.ttl,
    logger,
    ...(options.address === undefined ? {} : { address: options.address }),
  });
  process.stdout.write(options.json ? describeAsJson(server) : describe(server, options.ttl));
  await stopped;
}

function defaultIdentities({ idString }: TrustDomain): readonly ServedIdentity[] {
  return [
    { id: `${idString}/agents/researcher`, hint: 'researcher' },
    { id: `${idString}/tools/search`, hint: 'search' },
    { id: `${idString}/tools/mail`, hint: 'mail' },
  ];
}

function describe(server: WorkloadApiServer, ttlMs: number): string {
  const { identities, ca } = server;
  const width = Math.max(...identities.map(({ id }) => id.length));
  const lines = identities.map(
    ({ id, hint }) => `#   ${id.padEnd(width)}  ${hint === '' ? 'no hint' : `hint ${hint}`}`,
  );
  // All but the first line is a comment, so that the whole can be pasted into a shell.
  return `export SPIFFE_ENDPOINT_SOCKET=${server.address}

# Trust domain ${ca.trustDomain.name}. Whoever can reach the socket is given these identities:
${lines.join('\n')}
# Each X.509-SVID lives ${formatDuration(ttlMs)} and is renewed when half of that is over, a JWT-SVID lives ${formatDuration(ca.jwtTtlMs)}.
# CA ${fingerprint(server)}
#   valid until ${ca.authority.notAfter.toISOString()}, gone when this ends.
# Stop with Ctrl-C.
`;
}

function describeAsJson(server: WorkloadApiServer): string {
  const { address, identities, ca } = server;
  return `${JSON.stringify({
    environment: { SPIFFE_ENDPOINT_SOCKET: address },
    trustDomain: ca.trustDomain.name,
    identities,
    authority: { sha256: fingerprint(server), notAfter: ca.authority.notAfter },
  })}\n`;
}

function fingerprint({ ca }: WorkloadApiServer): string {
  return createHash('sha256').update(ca.authority.certificate).digest('hex');
}

function addIdentity(
  text: string,
  before: readonly ServedIdentity[] = [],
): readonly ServedIdentity[] {
  // A SPIFFE ID holds no equals sign (SPIFFE-ID 2), a hint may.
  const at = text.indexOf('=');
  return [...before, at < 0 ? { id: text } : { id: text.slice(0, at), hint: text.slice(at + 1) }];
}
