import type * as OpenTelemetry from '@opentelemetry/api';
import type { EventBase } from './audit/events.js';
import { DeniedError } from './denied.js';

/** What a span is about. */
export interface SpanSubject {
  /** The SPIFFE ID of the process. */
  readonly agent: string;
  readonly taskId: string;
  /** Absent for the span of a task itself. */
  readonly tool?: string;
  readonly callId?: string;
}

/** A span of OpenTelemetry, as much of it as the guard needs. */
export interface Span {
  readonly trace: EventBase['trace'];
  /** Runs with the span as the active one. */
  within<T>(run: () => T): T;
  /** Ends the span; with an error when it failed. */
  end(failure?: { readonly error: unknown }): void;
}

/** Starts a span; does nothing where OpenTelemetry is not installed. */
export type StartSpan = (subject: SpanSubject) => Span;

const NO_SPAN: Span = Object.freeze({
  trace: undefined,
  within: <T>(run: () => T): T => run(),
  end: () => {},
});

/** What starts spans in this process: `@opentelemetry/api` where it is installed. */
export async function loadTelemetry(
  load: () => Promise<unknown> = () => import('@opentelemetry/api'),
): Promise<StartSpan> {
  try {
    return tracing((await load()) as typeof OpenTelemetry);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND') return () => NO_SPAN;
    throw error;
  }
}

function tracing(api: typeof OpenTelemetry): StartSpan {
  const { context, trace, isSpanContextValid, SpanStatusCode } = api;
  const tracer = trace.getTracer('agent-spiffe');
  return (subject) => {
    const span = tracer.startSpan(nameOf(subject), { attributes: attributesOf(subject) });
    const about = span.spanContext();
    // Without an SDK spans are of no trace, and there is nothing to be within.
    if (!isSpanContextValid(about)) return NO_SPAN;
    const active = trace.setSpan(context.active(), span);
    return {
      trace: { traceId: about.traceId, spanId: about.spanId },
      within: (run) => context.with(active, run),
      end: (failure) => {
        if (failure !== undefined) {
          span.setAttributes(failureOf(failure.error));
          span.setStatus({ code: SpanStatusCode.ERROR });
        }
        span.end();
      },
    };
  };
}

/** Names of the OpenTelemetry conventions for generative AI, as of 2026; arguments and results stay out. */
function attributesOf({ agent, taskId, tool, callId }: SpanSubject): Record<string, string> {
  if (tool === undefined || callId === undefined) {
    return {
      'gen_ai.operation.name': 'invoke_agent',
      'gen_ai.agent.id': agent,
      'gen_ai.conversation.id': taskId,
    };
  }
  return {
    'gen_ai.operation.name': 'execute_tool',
    'gen_ai.tool.name': tool,
    'gen_ai.tool.call.id': callId,
    'gen_ai.tool.type': 'function',
    'gen_ai.agent.id': agent,
    'gen_ai.conversation.id': taskId,
  };
}

function nameOf({ tool }: SpanSubject): string {
  return tool === undefined ? 'invoke_agent' : `execute_tool ${tool}`;
}

function failureOf(error: unknown): Record<string, string> {
  const type = errorType(error);
  if (!(error instanceof DeniedError)) return { 'error.type': type };
  return { 'error.type': type, 'agent_spiffe.denial.reason': error.reason };
}

/** What kind of error it is: its code, else its name; never its text, which may hold data. */
export function errorType(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const { code } = error as NodeJS.ErrnoException;
  return typeof code === 'string' ? code : error.name;
}
