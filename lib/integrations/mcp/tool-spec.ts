import { checkMembers, optionError } from '../../agent/options.js';
import type { ToolDefinition, ToolSpec } from '../../agent/tool-spec.js';
import type { JsonRecord } from '../../internal/json.js';
import { quote } from '../../internal/quote.js';

const TOLD = [
  'description',
  'inputSchema',
  'annotations',
  'definition',
  'schema',
  'confirm',
] as const;

/** Of each member of a union, where `Omit` keeps what all have in common. */
type Without<T, Names extends PropertyKey> = T extends unknown ? Omit<T, Names> : never;

/** What a tool of an MCP server does. Its description, input schema and annotations are those that the server tells. */
export type McpToolSpec = Without<ToolSpec, (typeof TOLD)[number]>;

/** The parts that count of a tool as a server lists it. */
export interface Listed {
  readonly name: string;
  readonly description?: string | undefined;
  readonly inputSchema: object;
  readonly annotations?: object | undefined;
}

/** What a server tells of its tool, as a guard takes it. */
export function definitionOf({ description, inputSchema, annotations }: Listed): ToolDefinition {
  return {
    ...(description !== undefined && { description }),
    inputSchema: inputSchema as JsonRecord,
    ...(annotations && { annotations: { ...annotations } }),
  };
}

/**
 * The one tool of that name among those listed.
 *
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` when there is none, or more than one.
 */
export function listedAs(name: string, listed: readonly Listed[]): Listed {
  const [tool, ...others] = listed.filter((each) => each.name === name);
  if (tool !== undefined && others.length === 0) return tool;
  const why = tool === undefined ? 'offers none of that name' : 'offers several of that name';
  throw optionError(`the tool ${quote(name)}`, `the MCP server ${why}`);
}

/** @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` for a map of specs that says what the server is to say. */
export function checkSpecs(what: string, specs: Readonly<Record<string, object>>): void {
  checkMembers(what, specs, Object.keys(specs ?? {}));
  for (const [name, spec] of Object.entries(specs)) {
    const told = TOLD.find((each) => Object.hasOwn(spec, each));
    if (told !== undefined)
      throw optionError(`${what}: ${quote(name)}`, `its ${told} is told by the MCP server`);
  }
}
