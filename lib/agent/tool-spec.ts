import type { JsonRecord } from '../internal/json.js';
import type { ToolAnnotations } from './flow/annotations.js';
import type { Labels } from './flow/labels.js';
import type { Sink } from './flow/sink.js';
import type { StandardSchema } from './standard-schema.js';

/** What a tool says of itself, and what its digest is taken from (annotations aside). */
export interface ToolDefinition {
  /** As the model reads it. */
  readonly description?: string;
  /** The JSON Schema of the arguments. Default: what `schema` says of itself, where it can. */
  readonly inputSchema?: JsonRecord;
  /** Hints of whoever offers the tool. They may make it more dangerous than declared, never less. */
  readonly annotations?: ToolAnnotations;
}

/** The labels of what a tool returns. Integrity by default `untrusted`. */
export type Returns =
  | (Omit<Labels, 'integrity'> & Partial<Labels>)
  | ((args: JsonRecord) => Omit<Labels, 'integrity'> & Partial<Labels>);

/** Where a tool's arguments go. By default `outside`, unless the effect is `write` or `privilege`. */
export type SinkOption =
  | (Omit<Sink, 'outside'> & Partial<Sink>)
  | ((args: JsonRecord) => Omit<Sink, 'outside'> & Partial<Sink>);

/** The part of a tool's spec that every effect has. */
export interface ToolSpecBase extends ToolDefinition {
  /** Validates the arguments, synchronously; what it makes of them is what is judged and what the function gets. */
  readonly schema?: StandardSchema;
  /**
   * For a tool that is defined elsewhere and might change: gives its definition of this moment. Asked when a task
   * starts and before each call; the spec's own `description`, `inputSchema` and `annotations` are then left out.
   */
  readonly definition?: () => ToolDefinition;
  /**
   * For a tool that someone else offers: asked once a call has been decided, before it goes on record. A rejection
   * says that the tool is no longer the one that was wrapped, or cannot be had, and refuses the call (`tool-changed`).
   */
  readonly confirm?: (options: { readonly signal: AbortSignal }) => Promise<void>;
  /** The argument that names what is acted upon. */
  readonly resource?: string;
  /** The argument that names where data goes. */
  readonly destination?: string;
}

/**
 * What a tool does. What it reads, and where it sends, has no default where a wrong guess would leak: a `read` says what
 * it returns, a `write` and an `egress` what their sink takes. What else a tool returns is by default public, trusted
 * for a `write` or a `privilege` and untrusted for an `egress`.
 */
export type ToolSpec = ToolSpecBase &
  (
    | { readonly effect: 'read'; readonly returns: Returns; readonly sink?: SinkOption }
    | { readonly effect: 'write' | 'egress'; readonly returns?: Returns; readonly sink: SinkOption }
    | { readonly effect: 'privilege'; readonly returns?: Returns; readonly sink?: SinkOption }
  );
