#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { SpiffeError } from '../errors.js';
import { addAuditCommand } from './audit.js';
import { addAuthorityCommand } from './authority.js';
import { addDevCommand } from './dev.js';
import { addPolicyCommand } from './policy.js';

const FAILED = 1;
const BAD_USAGE = 2;

const EXIT_CODES = `
Exit codes:
  0  it did what it was asked, or was stopped by SIGINT or SIGTERM and closed cleanly
  1  it failed in a way that no option explains, an audit log is not what was written, or a policy test failed
  2  a command or option is wrong, the address cannot be listened on, or a log cannot be read`;

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return String((JSON.parse(text) as { version?: unknown }).version);
}

const program = new Command('agent-spiffe')
  .description('SPIFFE workload identity for Node agents')
  .version(version())
  .addHelpText('afterAll', EXIT_CODES)
  .showSuggestionAfterError(false)
  .configureOutput({
    outputError: (text, write) => write(`agent-spiffe: ${text.replace(/^error: /, '')}`),
  })
  .exitOverride();
addAuditCommand(program);
addAuthorityCommand(program);
addDevCommand(program);
addPolicyCommand(program);

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}

/** Says what went wrong, unless it was said already; gives the exit code. */
function report(error: unknown): number {
  // Commander has written its own message by now, or the help that was asked for.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : BAD_USAGE;
  if (error instanceof SpiffeError) {
    console.error(`agent-spiffe: ${error.message}`);
    return error.code === 'ERR_SPIFFE_AUDIT_INVALID' ? FAILED : BAD_USAGE;
  }
  console.error('agent-spiffe:', error);
  return FAILED;
}
