import type { Effect } from '../tool-description.js';
import { joinLabels, type Labels } from './labels.js';
import type { Sink } from './sink.js';

/**
 * What a tool says of itself, as MCP names it. These are hints of a party that may lie: one that makes the tool more
 * dangerous is believed, one that makes it less is not.
 */
export interface ToolAnnotations {
  /** `false` makes a sink of a tool that was taken for a mere read. */
  readonly readOnlyHint?: boolean;
  /** `true` does the same. */
  readonly destructiveHint?: boolean;
  /** `true`: what it returns is untrusted, and where its arguments go lies outside. */
  readonly openWorldHint?: boolean;
  /** `true`: what it returns is confidential at least. */
  readonly sensitiveHint?: boolean;
  /** `true`: the same. */
  readonly privateHint?: boolean;
  readonly [hint: string]: unknown;
}

/** What a tool does with data. */
export interface DataFlow {
  readonly returns: Labels;
  readonly sink?: Sink;
}

/** Nothing is known of where the arguments of such a tool go: the strictest sink there is. */
const UNKNOWN_SINK: Sink = Object.freeze({ clearance: 'public', outside: true });

/** The flow that the host declared, made stricter by what the tool says of itself; never less strict. */
export function tighten(flow: DataFlow, effect: Effect, hints: ToolAnnotations): DataFlow {
  const openWorld = hints.openWorldHint === true;
  const sensitive = hints.sensitiveHint === true || hints.privateHint === true;
  const changes = hints.readOnlyHint === false || hints.destructiveHint === true;
  const returns = joinLabels(flow.returns, {
    confidentiality: sensitive ? 'confidential' : 'public',
    integrity: openWorld ? 'untrusted' : 'trusted',
  });
  const declared = flow.sink ?? (effect === 'read' && changes ? UNKNOWN_SINK : undefined);
  if (declared === undefined) return Object.freeze({ returns });
  const outside = declared.outside || openWorld;
  return Object.freeze({ returns, sink: Object.freeze({ ...declared, outside }) });
}
