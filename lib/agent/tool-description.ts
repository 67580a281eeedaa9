import type { JsonRecord } from '../internal/json.js';
import type { Labels } from './flow/labels.js';
import type { Sink } from './flow/sink.js';

/**
 * What a tool does to the world. `read` brings data in, `write` changes something inside, `egress` sends data outside,
 * `privilege` changes who may do what.
 */
export type Effect = 'read' | 'write' | 'egress' | 'privilege';

/** A tool as the guard knows it, whole and frozen. */
export interface ToolDescription {
  readonly name: string;
  /** As the model reads it; empty when none was given. */
  readonly description: string;
  readonly effect: Effect;
  /** The JSON Schema of the arguments; absent when neither given nor told by the schema that validates them. */
  readonly inputSchema?: JsonRecord;
  /** The argument that names what is acted upon. */
  readonly resource?: string;
  /** The argument that names where data goes. */
  readonly destination?: string;
  /** The labels of what it returns; absent when they depend on the arguments. */
  readonly returns?: Labels;
  /** Absent when the tool is no sink, or when the sink depends on the arguments. */
  readonly sink?: Sink;
  /** SHA-256 of the canonical JSON of its `description`, `inputSchema` and `name`, those that there are, in hex. */
  readonly digest: string;
}
