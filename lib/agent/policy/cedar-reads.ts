import type { Expr } from '@cedar-policy/cedar-wasm/nodejs';
import { isJsonObject } from '../../internal/json.js';

/** What is read of a value: all of it, or of some members what stands there. */
export type Read = 'all' | ReadonlyMap<string, Read>;

/** What policies may read of a request, by the names that Cedar has for its parts. */
export interface Reads {
  readonly principal: Read;
  readonly resource: Read;
  readonly context: Read;
}

type Root = keyof Reads;
type Growing = 'all' | Map<string, Growing>;

const NOTHING: Read = new Map();
/** Operators by the members in which their operands stand; what is none of them is not understood. */
const OPERANDS = ['arg', 'left', 'right', 'if', 'then', 'else', 'in'] as const;

/** What the conditions of some policies can read, whatever a request is like; rather more than less. */
export function readsOf(conditions: readonly Expr[]): Reads {
  const reads: Record<Root, Growing> = {
    principal: new Map(),
    resource: new Map(),
    context: new Map(),
  };
  for (const condition of conditions) note(condition, reads);
  return reads;
}

/** What is read of a member. */
export function readOf(read: Read, name: string): Read {
  return read === 'all' ? 'all' : (read.get(name) ?? NOTHING);
}

/** Whether anything is read there. */
export function isRead(read: Read): boolean {
  return read === 'all' || read.size > 0;
}

function note(expression: unknown, reads: Record<Root, Growing>): void {
  const [operator, operands] = Object.entries(isJsonObject(expression) ? expression : {})[0] ?? [];
  const path = pathOf(expression);
  if (path !== undefined) {
    add(reads, path);
  } else if (operator === '.' || operator === 'has') {
    // Of something that is no chain, such as an entity that a policy names: it may be one of the request's own.
    add(reads, { root: 'principal', names: [] });
    add(reads, { root: 'resource', names: [] });
    note((operands as { readonly left: unknown }).left, reads);
  } else if (operator === 'Record') {
    for (const each of Object.values(operands as object)) note(each, reads);
  } else if (Array.isArray(operands)) {
    for (const each of operands as readonly unknown[]) note(each, reads);
  } else if (operator !== 'Value' && operator !== 'Var') {
    noteOperands(operands, reads);
  }
}

function noteOperands(operands: unknown, reads: Record<Root, Growing>): void {
  const members = isJsonObject(operands) ? operands : {};
  const known = OPERANDS.filter((name) => Object.hasOwn(members, name));
  for (const name of known) note(members[name], reads);
  if (known.length > 0) return;
  for (const root of ['principal', 'resource', 'context'] as const) add(reads, { root, names: [] });
}

interface Path {
  readonly root: Root;
  readonly names: readonly string[];
}

/** `context.arguments.to` and `context.arguments has to` as a path; `undefined` for what is no such chain. */
function pathOf(expression: unknown): Path | undefined {
  if (!isJsonObject(expression)) return undefined;
  const root = expression['Var'];
  if (root === 'principal' || root === 'resource' || root === 'context') return { root, names: [] };
  const access = expression['.'] ?? expression['has'];
  if (!isJsonObject(access)) return undefined;
  const before = pathOf(access['left']);
  // `has a.b` gives its names as a list.
  const names = [access['attr']].flat() as string[];
  return before && { root: before.root, names: [...before.names, ...names] };
}

function add(reads: Record<Root, Growing>, { root, names }: Path): void {
  const last = names.at(-1);
  if (last === undefined) {
    reads[root] = 'all';
    return;
  }
  let at: Growing = reads[root];
  for (const name of names.slice(0, -1)) {
    if (at === 'all') return;
    let next = at.get(name);
    if (next === undefined) {
      next = new Map();
      at.set(name, next);
    }
    at = next;
  }
  if (at !== 'all') at.set(last, 'all');
}
