import { type AnyNode, type IfStatement, parse } from 'acorn';

/** One refusal, taken out. */
export interface Mutation {
  readonly start: number;
  readonly end: number;
  readonly replacement: string;
  /** What is replaced, on one line. */
  readonly code: string;
}

/** Calls that refuse, or undo what would be let through, when they stand as a statement of their own. */
const REFUSING_CALLS = new Set(['finish', 'finishRsa', 'freeze', 'destroy', 'withdraw']);
/** Calls whose answer decides, when they stand as the answer of a function. */
const DECIDING_CALLS = new Set(['equals', 'every', 'some', 'has', 'includes', 'test', 'verify']);
const COMPARISONS = new Set(['===', '!==', '<', '<=', '>', '>=']);
/** With and without the boundary itself. */
const OTHER_SIDE: Readonly<Record<string, string>> = { '<': '<=', '<=': '<', '>': '>=', '>=': '>' };

/**
 * Every way in which a module can be made to refuse less, one at a time:
 *
 * - a `throw` is left out, and a statement that calls one of {@link REFUSING_CALLS};
 * - `return false`, and a return whose value is a comparison or one of {@link DECIDING_CALLS}, return `true`;
 * - a return of a text, of `undefined` or of nothing is left out, unless the function ends there anyway;
 * - the condition of an `if` never holds; that of `a ? b : c` always or never does;
 * - of `a && b` and `a || b` one side is left out;
 * - `<` and `>` move by one, to the other side of the boundary.
 */
export function mutationsOf(code: string): Mutation[] {
  const found: Mutation[] = [];
  const add = ({ start, end }: AnyNode, replacement: string): void => {
    const original = code.slice(start, end).replaceAll(/\s+/g, ' ');
    found.push({ start, end, replacement, code: `${original} => ${replacement}` });
  };
  const textOf = ({ start, end }: AnyNode): string => code.slice(start, end);

  const lastReturns = new Set<AnyNode>();
  const visit = (node: AnyNode): void => {
    if (isFunction(node) && node.body.type === 'BlockStatement') {
      const last = node.body.body.at(-1);
      if (last?.type === 'ReturnStatement' && isNothing(last.argument)) lastReturns.add(last);
    }
    if (node.type === 'ThrowStatement') add(node, ';');
    if (node.type === 'ExpressionStatement' && REFUSING_CALLS.has(calledName(node.expression)))
      add(node, ';');
    if (node.type === 'ReturnStatement' && !lastReturns.has(node)) {
      if (isFalse(node.argument)) add(node, 'return true;');
      else if (isReason(node.argument)) add(node, ';');
      else if (isDecision(node.argument)) add(node, 'return true;');
    }
    if (node.type === 'ArrowFunctionExpression' && isDecision(node.body)) add(node.body, 'true');
    // Without the one refusal that it guards a condition is without effect: one mutant, not two.
    if (node.type === 'IfStatement' && !guardsOneRefusal(node)) add(node.test, 'false');
    if (node.type === 'ConditionalExpression') {
      add(node.test, 'true');
      add(node.test, 'false');
    }
    if (node.type === 'LogicalExpression' && node.operator !== '??') {
      add(node, `(${textOf(node.left)})`);
      add(node, `(${textOf(node.right)})`);
    }
    if (node.type === 'BinaryExpression') {
      const other = OTHER_SIDE[node.operator];
      if (other !== undefined) add(node, `${textOf(node.left)} ${other} ${textOf(node.right)}`);
    }
    for (const child of childrenOf(node)) visit(child);
  };
  visit(parse(code, { ecmaVersion: 'latest', sourceType: 'module' }));
  return found;
}

function childrenOf(node: AnyNode): AnyNode[] {
  return Object.values(node)
    .flat()
    .filter((child): child is AnyNode => typeof (child as AnyNode | null)?.type === 'string');
}

function calledName(node: AnyNode): string {
  if (node.type === 'ChainExpression') return calledName(node.expression);
  if (node.type !== 'CallExpression') return '';
  const { callee } = node;
  if (callee.type === 'Identifier') return callee.name;
  if (callee.type !== 'MemberExpression') return '';
  return callee.property.type === 'Identifier' ? callee.property.name : '';
}

function isFalse(node: Maybe): boolean {
  return node?.type === 'Literal' && node.value === false;
}

type Maybe = AnyNode | null | undefined;

function isFunction(
  node: AnyNode,
): node is Extract<AnyNode, { type: `${string}Function${string}`; body: unknown }> {
  return /^(?:Arrow)?Function/.test(node.type);
}

function isNothing(node: Maybe): boolean {
  return (
    node === null || node === undefined || (node.type === 'Identifier' && node.name === 'undefined')
  );
}

/** Nothing, or a text: "no" or the reason why. */
function isReason(node: Maybe): boolean {
  if (isNothing(node) || node?.type === 'TemplateLiteral') return true;
  return node?.type === 'Literal' && typeof node.value === 'string';
}

function isDecision(node: Maybe): boolean {
  if (node === null || node === undefined) return false;
  if (node.type === 'BinaryExpression') return COMPARISONS.has(node.operator);
  if (node.type === 'LogicalExpression') return node.operator !== '??';
  return DECIDING_CALLS.has(calledName(node));
}

function guardsOneRefusal({ consequent, alternate }: IfStatement): boolean {
  const only =
    consequent.type === 'BlockStatement' && consequent.body.length === 1
      ? consequent.body[0]
      : consequent;
  if ((alternate !== null && alternate !== undefined) || only === undefined) return false;
  if (only.type === 'ThrowStatement') return true;
  return only.type === 'ReturnStatement' && (isReason(only.argument) || isFalse(only.argument));
}
