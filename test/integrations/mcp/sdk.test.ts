import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** What a program prints where the MCP SDK is not installed. */
function withoutSdk(program: string): string {
  const hook = `export async function resolve(specifier, context, next) {
    if (!specifier.startsWith('@modelcontextprotocol/')) return next(specifier, context);
    throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' });
  }`;
  const code = `
    import { register } from 'node:module';
    register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hook)}`)});
    const { guardMcpClient, guardMcpServer } = await import('agent-spiffe/mcp');
    const fetch = Object.assign(() => {}, { peerRule: () => 'spiffe://example.org/crm' });
    const url = 'https://crm.internal:8443/mcp';
    const told = await ${program}.catch((error) => error);
    console.log(told.code, told.message);`;
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ['--input-type=module', '--eval', code],
    { cwd: root, encoding: 'utf8' },
  );
  expect(status, stderr).to.equal(0);
  return stdout;
}

describe('agent-spiffe/mcp where the SDK is not installed', () => {
  for (const [program, name] of [
    ['guardMcpServer({}, { server() {}, task() {}, tools: {} })', '@modelcontextprotocol/server@2'],
    ['guardMcpClient({}, {}, { url, fetch, tools: {} })', '@modelcontextprotocol/client@2'],
  ] as const)
    it(`is loaded all the same, and says that ${name} is to be installed`, () => {
      const told = withoutSdk(program);
      expect(told).to.match(/^ERR_SPIFFE_OPTION_INVALID /);
      expect(told).to.include(`install ${name} beside this package`);
    });
});
