import { readFile } from 'node:fs/promises';
import { SpiffeError } from '../errors.js';
import {
  isJsonObject,
  type JsonObject,
  type JsonRecord,
  parseJsonObject,
} from '../internal/json.js';
import { quote } from '../internal/quote.js';
import { type Logger, SILENT } from '../log.js';

/** A file that says what policies are about. */
export interface ToolsFile {
  /** Absent when it lists none. */
  readonly tools:
    | readonly { readonly name: string; readonly inputSchema?: JsonRecord }[]
    | undefined;
  /** JSON Schema of what tasks say about the business at hand. */
  readonly business: JsonRecord | undefined;
  /** All of it. */
  readonly content: JsonObject;
}

/** @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` when it cannot be read, or is not as it should be. */
export async function readTools(path: string): Promise<ToolsFile> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw unusable(path, (cause as Error).message, cause);
  });
  const content = parseJsonObject(bytes);
  if (content === undefined) throw unusable(path, 'it is no JSON object');
  const { tools, business } = content;
  if (business !== undefined && !isJsonObject(business))
    throw unusable(path, 'its business is no JSON Schema, which is an object');
  if (tools !== undefined && !(Array.isArray(tools) && tools.every(isTool)))
    throw unusable(
      path,
      'its tools are no list of objects with a name, and an inputSchema that is an object',
    );
  return { tools, business: business as JsonRecord | undefined, content };
}

function isTool(tool: unknown): boolean {
  if (!isJsonObject(tool) || typeof tool['name'] !== 'string') return false;
  return tool['inputSchema'] === undefined || isJsonObject(tool['inputSchema']);
}

/** Prints what is doubtful about policies, each thing once. */
export function tellDoubts(): Logger {
  const told = new Set<string>();
  const warn = (_: object, message: string): void => {
    if (!told.has(message)) console.error(`agent-spiffe: note: ${message}`);
    told.add(message);
  };
  return { ...SILENT, warn };
}

/** For what a command was pointed at. */
export function unusable(what: string, why: string, cause?: unknown): SpiffeError {
  return new SpiffeError('ERR_SPIFFE_OPTION_INVALID', `cannot use ${quote(what)}: ${why}`, {
    cause,
  });
}
