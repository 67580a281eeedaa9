import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

// Joins the modules that `tsc` has written into a few files: each file costs Node 0.4 ms to load, and a process waits
// for its first SVID. What the same parts of the library need is one file. Each module keeps its own path, which leads
// into the joined one, so that tests reach the very classes that users get.

const modules = fileURLToPath(new URL('dist-modules', import.meta.url));
const manifest = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'));
const entries = Object.values(manifest.exports)
  .map((entry) => entry.default)
  .concat(Object.values(manifest.bin))
  .filter((file) => file !== undefined)
  .map((file) => relative('dist', file).replaceAll(sep, '/'));

/** Which part of the library a starting point opens, by its path: a public entry, or what is loaded on first use. */
const PARTS = [
  ['core', /^index\.js$/],
  ['jwt', /\bjwt\b/],
  ['workload-api', /^sources\/workload-api\//],
  ['files', /^sources\/files\//],
  ['http', /^bindings\/http\//],
  ['grpc', /^bindings\/grpc\//],
  ['agent', /^agent\//],
  // Before what it is a part of: it loads grpc-js.
  ['spire', /^integrations\/authority\/spire-client/],
  ['authority', /^integrations\/authority\//],
  ['mcp', /^integrations\/mcp\//],
  ['testing', /^(?:testing|cli)\//],
];

function partOf(start) {
  const [part] = PARTS.find(([, path]) => path.test(start)) ?? [];
  if (part === undefined) throw new Error(`no part is named for ${start}`);
  return part;
}

/** The parts that need a module. */
function partsOf(id, getModuleInfo, known) {
  let parts = known.get(id);
  if (parts !== undefined) return parts;
  parts = new Set();
  known.set(id, parts);
  const path = relative(modules, id).replaceAll(sep, '/');
  const { importers, dynamicImporters } = getModuleInfo(id);
  if (entries.includes(path) || dynamicImporters.length > 0) parts.add(partOf(path));
  for (const importer of importers)
    for (const part of partsOf(importer, getModuleInfo, known)) parts.add(part);
  return parts;
}

const known = new Map();
const paths = readdirSync(modules, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.js'))
  .map((file) => file.slice(0, -'.js'.length));

export default {
  input: Object.fromEntries(paths.map((path) => [path, join(modules, `${path}.js`)])),
  external: (id) => !/^[./]/.test(id),
  plugins: [
    {
      name: 'source maps of tsc',
      load: (id) => ({ code: readFileSync(id, 'utf8'), map: readFileSync(`${id}.map`, 'utf8') }),
    },
  ],
  treeshake: false,
  preserveEntrySignatures: 'strict',
  onLog(level, log, handle) {
    // Modules of types alone, and the helpers of tsc for `using`.
    if (log.code !== 'EMPTY_BUNDLE' && log.code !== 'THIS_IS_UNDEFINED') handle(level, log);
  },
  output: {
    dir: 'dist',
    sourcemap: true,
    hoistTransitiveImports: false,
    entryFileNames: '[name].js',
    chunkFileNames: 'joined/[name].js',
    manualChunks(id, { getModuleInfo }) {
      // The program is never joined with what is imported: to load it is to run it.
      if (id.startsWith(join(modules, 'cli'))) return null;
      const parts = partsOf(id, getModuleInfo, known);
      // Whoever guards MCP has loaded what it stands on.
      if (parts.size > 1) parts.delete('mcp');
      // Whoever loads another part has loaded the core.
      return parts.has('core') ? 'core' : [...parts].toSorted().join('-') || null;
    },
  },
};
