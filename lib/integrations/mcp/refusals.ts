import type { ServerResponse } from 'node:http';
import type { CallToolResult, JSONRPCErrorResponse, RequestId } from '@modelcontextprotocol/server';
import type { DenialReason } from '../../agent/audit/events.js';

/** Of those that JSON-RPC 2.0 5.1 leaves to the server: the call was refused, and nothing ran. */
export const REFUSED = -32_003;
export const INVALID_REQUEST = -32_600;
export const METHOD_NOT_FOUND = -32_601;
export const INVALID_PARAMS = -32_602;
export const INTERNAL_ERROR = -32_603;

/** An answer that is an error. */
export function errorAnswer(
  id: RequestId,
  code: number,
  message: string,
  data?: object,
): JSONRPCErrorResponse {
  return { jsonrpc: '2.0', id, error: { code, message, ...(data && { data }) } };
}

/** What the caller is told of a refusal: what it rests on, and not a word of the rule. */
export function refusalAnswer(id: RequestId, reason: DenialReason): JSONRPCErrorResponse {
  return errorAnswer(id, REFUSED, `refused: ${reason}`, { reason });
}

/** The same of a grant: where it failed. */
export function grantAnswer(id: RequestId, step: string): JSONRPCErrorResponse {
  return errorAnswer(id, REFUSED, 'refused: grant', { reason: 'grant', step });
}

/** Answers a whole HTTP request with an error. */
export function refuseRequest(
  response: ServerResponse,
  {
    status,
    code,
    message,
  }: { readonly status: number; readonly code: number; readonly message: string },
): void {
  response.statusCode = status;
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ jsonrpc: '2.0', id: null, error: { code, message } }));
}

const OURS = /\[(ERR_SPIFFE_[A-Z0-9_]+)\]/;

/**
 * The SDK makes of what a tool throws a result with its message. That of an error of ours quotes rules, addresses and
 * IDs: no more of it is told than its code.
 */
export function withoutMessage(result: CallToolResult): CallToolResult {
  if (result.isError !== true) return result;
  const texts = result.content.map((part) => (part.type === 'text' ? part.text : ''));
  const [, code] = OURS.exec(texts.join('\n')) ?? [];
  if (code === undefined) return result;
  return { ...result, content: [{ type: 'text', text: `the tool failed: ${code}` }] };
}
