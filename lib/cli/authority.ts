import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { ConnectedMint } from '../integrations/authority/mint.js';
import { Workload } from '../sources/workload.js';
import { formatDuration, parseDuration } from './duration.js';
import { stopSignal } from './stop-signal.js';

interface AuthorityOptions {
  readonly allow: readonly string[];
  readonly spire?: string;
  readonly dev?: true;
  readonly pick?: string;
  readonly listen: Place;
  readonly ttl: number;
  readonly audit?: string;
  readonly json?: true;
}

interface Place {
  readonly host: string;
  readonly port: number;
}

const EXAMPLES = `
Its own identity comes from the Workload API at SPIFFE_ENDPOINT_SOCKET. For an agent spiffe://example.org/agents/a it makes
spiffe://example.org/agents/a/task/<id>, and nothing else for nobody else.

Examples:
  agent-spiffe authority --spire spire-server.internal:8081 --allow 'spiffe://example.org/agents/*'
  agent-spiffe authority --dev --allow 'spiffe://example.org/**' --ttl 1m --listen 127.0.0.1:0 --json`;

/** Adds `agent-spiffe authority`: the authority for credentials of tasks. */
export function addAuthorityCommand(program: Command): void {
  program
    .command('authority')
    .description('give tasks of agents SVIDs of their own, over mutual TLS')
    .requiredOption(
      '--allow <rule>',
      'agents whose tasks may have credentials, a SPIFFE ID or a pattern; may be given several times',
      addRule,
    )
    .addOption(
      new Option('--spire <host:port>', 'mint by this SPIRE server, whose policy must allow it'),
    )
    .addOption(
      new Option('--dev', 'mint by the development server at SPIFFE_ENDPOINT_SOCKET').conflicts(
        'spire',
      ),
    )
    .option('--pick <hint>', 'which identity of the Workload API is its own (default: the first)')
    .addOption(
      new Option('--listen <host:port>', 'where to listen; port 0: any free one')
        .default({ host: '127.0.0.1', port: 8443 }, '127.0.0.1:8443')
        .argParser(parsePlace),
    )
    .addOption(
      new Option('--ttl <duration>', 'the longest life of a credential, such as 30s or 5m')
        .default(300_000, '5m')
        .argParser(parseDuration),
    )
    .option(
      '--audit <directory>',
      'audit log in which each credential stands before it is given out',
    )
    .option('--json', 'print where it listens as one line of JSON')
    .addHelpText('after', EXAMPLES)
    .action(runAuthority);
}

function addRule(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), text];
}

async function runAuthority(options: AuthorityOptions, command: Command): Promise<void> {
  if (options.spire === undefined && options.dev === undefined)
    command.error('error: say who mints: --spire <host:port> or --dev');
  const stopped = stopSignal();
  const { pino } = await import('pino');
  const logger = pino(
    { name: 'agent-spiffe authority' },
    pino.destination({ dest: 2, sync: true }),
  );
  const { createServer } = await import('../bindings/http/server.js');
  const { createTaskAuthority } = await import('../integrations/authority/authority.js');
  const { allow, pick, listen, ttl: maxTtlMs } = options;
  await using identity = await Workload.open({ logger, ...(pick === undefined ? {} : { pick }) });
  using mint = await openMint(options, identity);
  const audit =
    options.audit === undefined
      ? {}
      : { audit: (await import('../agent/audit/file-log.js')).auditLog(options.audit) };
  const settings = { identity, mint, allow, maxTtlMs, logger, ...audit };
  await using authority = await createTaskAuthority(settings);
  const server = createServer(identity, { allow, logger }, authority);
  server.listen(listen.port, listen.host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const origin = `https://${listen.host.includes(':') ? `[${listen.host}]` : listen.host}:${port}`;
  const id = identity.id.toString();
  process.stdout.write(
    options.json
      ? `${JSON.stringify({ origin, id })}\n`
      : `Credentials for tasks at ${origin}, by ${id}. Each lives ${formatDuration(maxTtlMs)} at most. Stop with Ctrl-C.\n`,
  );
  await stopped;
  server.close();
  server.closeAllConnections();
}

async function openMint(options: AuthorityOptions, identity: Workload): Promise<ConnectedMint> {
  if (options.spire === undefined) {
    const { mintWithDevelopmentServer } = await import('../integrations/authority/development.js');
    return mintWithDevelopmentServer();
  }
  const { mintWithSpire } = await import('../integrations/authority/spire.js');
  return mintWithSpire({ address: options.spire, identity });
}

function parsePlace(text: string): Place {
  const [, ipv6, name, digits = ''] =
    /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text) ?? [];
  const host = ipv6 ?? name;
  if (host === undefined || Number(digits) > 65_535)
    throw new InvalidArgumentError('Give a host and a port, such as 127.0.0.1:8443.');
  return { host, port: Number(digits) };
}
