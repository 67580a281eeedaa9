import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { decodeJwt, type JWTPayload } from 'jose';
import { Run, runToEnd } from '../support/cli.js';
import { RawClient } from '../support/workload-api-client.js';

const EXPORT = /^export SPIFFE_ENDPOINT_SOCKET=(\S+)\n[^]*Ctrl-C/;

async function served(address: string): Promise<readonly (readonly [string, string])[]> {
  const client = new RawClient(address);
  try {
    const { svids } = await client.svids().next();
    return svids.map(({ spiffe_id, hint }) => [spiffe_id, hint] as const);
  } finally {
    client.close();
  }
}

async function issued(address: string): Promise<readonly JWTPayload[]> {
  const client = new RawClient(address);
  try {
    const tokens = await client.jwtSvids({ audience: ['reports'] });
    return 'code' in tokens ? [] : tokens.map(({ svid }) => decodeJwt(svid));
  } finally {
    client.close();
  }
}

describe('agent-spiffe dev', () => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    it(`serves the identities of the quickstart, and closes cleanly on ${signal}`, async () => {
      const run = new Run(['dev']);
      const [, address = ''] = await run.printed(EXPORT);
      expect(await served(address)).to.deep.equal([
        ['spiffe://example.org/agents/researcher', 'researcher'],
        ['spiffe://example.org/tools/search', 'search'],
        ['spiffe://example.org/tools/mail', 'mail'],
      ]);
      const tokens = await issued(address);
      expect(tokens.map(({ sub, aud }) => [sub, aud])).to.deep.equal([
        ['spiffe://example.org/agents/researcher', 'reports'],
        ['spiffe://example.org/tools/search', 'reports'],
        ['spiffe://example.org/tools/mail', 'reports'],
      ]);
      const path = address.slice('unix://'.length);
      expect(existsSync(path)).to.equal(true);
      expect(await run.stop(signal)).to.deep.equal({ code: 0, signal: null });
      expect(existsSync(dirname(path))).to.equal(false);
    });
  }

  it('tells a person what it serves, and can be pasted into a shell whole', async () => {
    const run = new Run(['dev', '--ttl', '90s']);
    await run.printed(EXPORT);
    await run.stop('SIGTERM');
    expect(run.stdout).to.match(/Trust domain example\.org/);
    expect(run.stdout).to.match(/spiffe:\/\/example\.org\/tools\/search +hint search/);
    expect(run.stdout).to.match(
      /Each X.509-SVID lives 90s and is renewed when half of that is over, a JWT-SVID lives 90s\./,
    );
    expect(run.stdout).to.match(/CA [0-9a-f]{64}/);
    const shell = spawnSync('sh', ['-ec', `${run.stdout}\nprintf %s "$SPIFFE_ENDPOINT_SOCKET"`], {
      encoding: 'utf8',
    });
    expect(shell.stderr).to.equal('');
    expect(shell.stdout).to.match(/^unix:\/\/\/.+\/api\.sock$/);
  });

  it('serves what it is told: trust domain, identities with and without hint, life, address', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'cli-'));
    const address = `unix://${directory}/api.sock`;
    const options = ['--trust-domain', 'acme.test', '--address', address, '--ttl', '2m'];
    const ids = ['--id', 'spiffe://acme.test/a=one=1', '--id', 'spiffe://acme.test/b'];
    const run = new Run(['dev', ...options, ...ids, '--json']);
    const [line] = await run.printed(/^.*\n/);
    expect(await served(address)).to.deep.equal([
      ['spiffe://acme.test/a', 'one=1'],
      ['spiffe://acme.test/b', ''],
    ]);
    await run.stop('SIGTERM');
    const said = JSON.parse(line) as {
      environment: object;
      trustDomain: string;
      identities: { id: string; hint: string; notBefore: string; notAfter: string }[];
      authority: { sha256: string; notAfter: string };
    };
    expect(said.environment).to.deep.equal({ SPIFFE_ENDPOINT_SOCKET: address });
    expect(said.trustDomain).to.equal('acme.test');
    expect(said.identities.map(({ id, hint }) => [id, hint])).to.deep.equal([
      ['spiffe://acme.test/a', 'one=1'],
      ['spiffe://acme.test/b', ''],
    ]);
    // Two minutes, and the ten seconds by which an SVID is dated back.
    for (const { notBefore, notAfter } of said.identities) {
      expect(Date.parse(notAfter) - Date.parse(notBefore)).to.equal(130_000);
    }
    expect(said.authority.sha256).to.match(/^[0-9a-f]{64}$/);
    expect(existsSync(join(directory, 'api.sock'))).to.equal(false);
    rmSync(directory, { recursive: true });
  });

  it('names the default identities after the trust domain', async () => {
    const run = new Run(['dev', '--trust-domain', 'acme.test', '--json']);
    const [line] = await run.printed(/^.*\n/);
    await run.stop('SIGTERM');
    expect(line).to.include('"spiffe://acme.test/agents/researcher"');
  });

  it('logs through pino, on standard error', async () => {
    const run = new Run(['dev', '--json']);
    await run.printed(/\n/);
    await run.stop('SIGTERM');
    const lines = run.stderr.trim().split('\n');
    const said = lines.map((line) => (JSON.parse(line) as { msg: string; level: number }).msg);
    expect(said).to.deep.equal(['listening', 'closed']);
  });

  const BAD: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['an option it does not have', ['--sockets', 'x'], /unknown option '--sockets'/],
    ['an argument', ['now'], /too many arguments/],
    ['an option without its value', ['--id'], /argument missing/],
    [
      'an ID that is none',
      ['--id', 'researcher'],
      /"researcher".*spiffe:\/\/.*ERR_SPIFFE_ID_INVALID/,
    ],
    [
      'an ID of another trust domain',
      ['--id', 'spiffe://b.test/a'],
      /spiffe:\/\/b\.test\/a.*ERR_SPIFFE_OPTION_INVALID/,
    ],
    [
      'the trust domain as an ID',
      ['--id', 'spiffe://example.org'],
      /has a path.*ERR_SPIFFE_OPTION_INVALID/,
    ],
    [
      'a hint given twice',
      ['--id', 'spiffe://example.org/a=h', '--id', 'spiffe://example.org/b=h'],
      /another identity has it/,
    ],
    [
      'a trust domain that is none',
      ['--trust-domain', 'Example.org'],
      /"Example\.org".*ERR_SPIFFE_TRUST_DOMAIN_INVALID/,
    ],
    ['a life without a unit', ['--ttl', '60'], /'60' is invalid.*such as 30s/],
    ['a life under a second', ['--ttl', '999ms'], /999 ms.*ERR_SPIFFE_OPTION_INVALID/],
    ['an address beyond loopback', ['--address', 'tcp://0.0.0.0:8080'], /loopback alone/],
    [
      'an address in a directory that does not exist',
      ['--address', 'unix:///nowhere/at/all.sock'],
      /directory does not exist/,
    ],
  ];
  for (const [what, args, expected] of BAD) {
    it(`refuses ${what} in one line, with exit code 2`, () => {
      const { code, stdout, stderr } = runToEnd('dev', ...args);
      expect(stderr)
        .to.match(/^agent-spiffe: [^\n]+\n$/)
        .and.to.match(expected);
      expect(stdout).to.equal('');
      expect(code).to.equal(2);
    });
  }
});

describe('agent-spiffe', () => {
  it('explains the command, its options and its exit codes', () => {
    const { code, stdout } = runToEnd('dev', '--help');
    expect(code).to.equal(0);
    for (const option of [
      '--trust-domain',
      '--id',
      '--ttl',
      '--address',
      '--json',
      '--help',
      'Exit codes:',
    ]) {
      expect(stdout).to.include(option);
    }
    expect(stdout).to.include('(default: 1h)');
  });

  it('lists its commands when asked', () => {
    const { code, stdout } = runToEnd('--help');
    expect(code).to.equal(0);
    expect(stdout).to.include('dev [options]').and.to.include('Exit codes:');
  });

  it('tells the version of the package', () => {
    const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
    const { version } = JSON.parse(text) as { version: string };
    expect(runToEnd('--version')).to.deep.equal({ code: 0, stdout: `${version}\n`, stderr: '' });
  });

  it('lists its commands on standard error, with exit code 2, when none is given', () => {
    const { code, stdout, stderr } = runToEnd();
    expect(code).to.equal(2);
    expect(stdout).to.equal('');
    expect(stderr).to.include('dev [options]');
  });

  it('refuses a command it does not have', () => {
    const { code, stderr } = runToEnd('devel');
    expect(code).to.equal(2);
    expect(stderr).to.equal("agent-spiffe: unknown command 'devel'\n");
  });
});
