import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { DecisionRequest } from '../agent/policy/request.js';
import type { ToolDescription } from '../agent/tool-description.js';
import { isJsonObject, type JsonObject } from '../internal/json.js';
import { quote } from '../internal/quote.js';
import type { Logger } from '../log.js';
import { runReplay } from './policy-replay.js';
import { readTools, tellDoubts, unusable } from './policy-tools.js';

const FAILED = 1;

interface Outcome {
  readonly file: string;
  readonly test: string;
  readonly passed: boolean;
  readonly decision: boolean;
  readonly reasons: readonly string[];
  readonly error?: string;
}

/** Adds `policy test` and `policy replay`. */
export function addPolicyCommand(program: Command): void {
  const policy = program.command('policy').description('try Cedar policies');
  policy
    .command('test')
    .description('decide the requests in the *.test.json files of a directory by its *.cedar files')
    .argument('<directory>', 'directory of the policies and their tests')
    .option('--json', 'print the outcomes as one line of JSON')
    .action(runTest);
  policy
    .command('replay')
    .description('decide the requests in an audit log again, and list what would change')
    .argument('<log>', 'directory of the audit log')
    .requiredOption('--policies <directory>', 'directory of the policies to decide by')
    .option(
      '--tools <file>',
      'JSON object with tools, and business where policies read it, as tests have them; default: the tools that the log defines',
    )
    .option('--json', 'print the counts and the changes as one line of JSON')
    .action(runReplay);
}

async function runTest(directory: string, options: { readonly json?: boolean }): Promise<void> {
  const outcomes: Outcome[] = [];
  const logger = tellDoubts();
  for (const file of await testFiles(directory))
    outcomes.push(...(await runFile(directory, file, logger)));
  const failed = outcomes.filter(({ passed }) => !passed);
  const lines = failed.map(
    ({ file, test, decision, reasons, error }) =>
      `FAILED ${file}: ${test}: ${decision ? 'permitted' : 'denied'} by ${reasons.join(', ') || 'no policy'}${error === undefined ? '' : `: ${error}`}\n`,
  );
  process.stdout.write(
    options.json
      ? `${JSON.stringify(outcomes)}\n`
      : `${lines.join('')}${outcomes.length - failed.length} passed, ${failed.length} failed\n`,
  );
  if (failed.length > 0) process.exitCode = FAILED;
}

async function testFiles(directory: string): Promise<readonly string[]> {
  const names = await readdir(directory).catch((cause: unknown) => {
    throw unusable(directory, (cause as Error).message, cause);
  });
  const files = names.filter((name) => name.endsWith('.test.json')).toSorted();
  if (files.length === 0) throw unusable(directory, 'it holds no *.test.json file');
  return files;
}

async function runFile(
  directory: string,
  file: string,
  logger: Logger,
): Promise<readonly Outcome[]> {
  const { tools, business, content } = await readTools(join(directory, file));
  const { tests } = content;
  if (tools === undefined || !Array.isArray(tests) || tests.length === 0)
    throw unusable(file, 'it is no JSON object with the lists tools and tests');
  const { cedarPolicy } = await import('../agent/policy/cedar.js');
  const engine = cedarPolicy(directory, { reloadMs: false, logger, ...(business && { business }) });
  await engine.prepare(tools as readonly ToolDescription[]);
  const { signal } = new AbortController();
  const outcomes: Outcome[] = [];
  for (const each of tests as readonly unknown[]) {
    const { name, request, decision: expected, reasons: expectedReasons } = parseTest(file, each);
    const { decision, context } = await engine.decide(request, { signal });
    const { reasons = [], error } = context ?? {};
    const same =
      expectedReasons === undefined || JSON.stringify(expectedReasons) === JSON.stringify(reasons);
    // A denial for an error is nobody's decision: it passes no test.
    const passed = decision === expected && same && error === undefined;
    outcomes.push({
      file,
      test: name,
      passed,
      decision,
      reasons,
      ...(error !== undefined && { error }),
    });
  }
  await engine.close();
  return outcomes;
}

function parseTest(
  file: string,
  test: unknown,
): { name: string; request: DecisionRequest; decision: boolean; reasons: unknown } {
  const { name, request, expect } = isJsonObject(test) ? test : ({} as JsonObject);
  if (typeof name !== 'string') throw unusable(file, 'each of its tests needs a name');
  const parts = isJsonObject(request)
    ? ['subject', 'action', 'resource', 'context'].map((part) => request[part])
    : [undefined];
  if (!parts.every(isJsonObject))
    throw unusable(file, `the request of ${quote(name)} needs subject, action, resource, context`);
  if (!isJsonObject(expect) || typeof expect['decision'] !== 'boolean')
    throw unusable(file, `the test ${quote(name)} expects no decision, true or false`);
  return {
    name,
    request: request as DecisionRequest,
    decision: expect['decision'],
    reasons: expect['reasons'],
  };
}
