import type { IncomingMessage } from 'node:http';
import type { Http2ServerRequest } from 'node:http2';
import { SpiffeError } from '../../errors.js';
import { parsePeerRule } from '../../identity/peer-rule.js';
import { bytesWithin } from '../../internal/bounded-text.js';
import { checkLogger, type Logger, SILENT } from '../../log.js';
import { GrantError } from '../grant/grant-error.js';
import type { Guard } from '../guard.js';
import { checkCount, checkMembers, checkText } from '../options.js';
import type { Task } from '../task.js';
import { LABELS_HEADER, labelsToHeader } from './labels.js';
import type { AcceptOptions } from './receiver.js';

/** Options of {@link requireGrant}. */
export interface RequireGrantOptions extends Omit<AcceptOptions, 'argsJson' | 'grant' | 'signal'> {
  /** The longest body that is read. Default: 1 MiB. */
  readonly maxBytes?: number;
  /** Told of what fails; refusals are in the audit log. Default: silent. */
  readonly logger?: Logger;
}

/** A call that was let through. */
export interface GrantedCall {
  /** To carry it out in: `task.run(() => tool(args))`. It ends with the response. */
  readonly task: Task;
  /** The arguments, as they came. */
  readonly args: unknown;
  readonly argsJson: string;
}

/** The part of a response that a granted call needs. */
export interface GrantedResponse {
  statusCode: number;
  setHeader(name: string, value: string): unknown;
  end(body: string): unknown;
  once(event: 'close', listener: () => void): unknown;
}

/** Middleware for whoever calls handlers as `(req, res, next)`. */
export type GrantMiddleware = (
  request: IncomingMessage | Http2ServerRequest,
  response: GrantedResponse,
  next: () => void,
) => void;

const CALL = Symbol('agent-spiffe: the granted call');
const MAX_BYTES = 1_048_576;

/** Of a grant that holds: what it does not allow, to this caller, here, or any more. Anything else is 401. */
const FORBIDDEN: ReadonlySet<string> = new Set([
  '6a',
  '6b',
  '6c',
  'peer',
  'revoked',
  'budget',
  'receiver',
]);

/**
 * Lets through the calls of a tool that come with a grant which allows them: POST, the arguments as JSON in the body, grant
 * and proof in the headers `spiffe-grant` and `spiffe-grant-proof`. It reads the body, so put it before what does. A
 * refusal is 401 when what was shown does not hold, 403 when it holds and does not allow the call, with the step in JSON.
 *
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID`, `ERR_SPIFFE_PEER_RULE_INVALID`
 */
export function requireGrant(guard: Guard, options: RequireGrantOptions): GrantMiddleware {
  const { maxBytes = MAX_BYTES, logger: given = SILENT, ...accept } = options;
  const what = 'the options of requireGrant';
  checkMembers(what, accept, [
    'tool',
    'issuers',
    'tools',
    'budget',
    'purpose',
    'ttlMs',
    'clearance',
    'labels',
    'business',
  ]);
  checkText(`${what}: tool`, accept.tool);
  checkCount(`${what}: maxBytes`, maxBytes, 1);
  parsePeerRule(accept.issuers);
  const logger = checkLogger(given);
  return (request, response, next) => {
    void (async () => {
      let isOver = false;
      let task: Task | undefined;
      const end = (): void => {
        task?.end().catch((error: unknown) => {
          logger.error({ err: error }, 'the record of a call was not closed');
        });
      };
      response.once('close', () => {
        isOver = true;
        end();
      });
      try {
        const body = await bytesWithin(request, maxBytes);
        if (body === undefined) {
          refuse(response, 413, 'too_long');
          return;
        }
        // What is no UTF-8 becomes what no signature is for.
        const argsJson = body.toString('utf8');
        task = await guard.accept(request, { ...accept, argsJson });
        if (isOver) {
          end();
          return;
        }
        const args: unknown = JSON.parse(argsJson);
        Object.defineProperty(request, CALL, { value: Object.freeze({ task, args, argsJson }) });
      } catch (error) {
        if (isOver) return;
        if (!(error instanceof GrantError)) logger.error({ err: error }, 'a call was not judged');
        answer(response, error);
        return;
      }
      next();
    })();
  };
}

/**
 * The call that {@link requireGrant} has let through.
 *
 * @throws SpiffeError `ERR_SPIFFE_NO_TASK` when it has let none through.
 */
export function grantedCall(request: object): GrantedCall {
  const call = (request as { readonly [CALL]?: GrantedCall })[CALL];
  if (call !== undefined) return call;
  throw new SpiffeError(
    'ERR_SPIFFE_NO_TASK',
    'cannot tell by which grant the request was let through: put requireGrant before the handler',
  );
}

/**
 * Says with an answer what the task that gives it has read by now, so that its caller has read that too. To be called
 * when nothing more is read for the answer, and before its head is sent; an answer that does not say is taken at the
 * worst.
 */
export function tellLabels(response: Pick<GrantedResponse, 'setHeader'>, task: Task): void {
  response.setHeader(LABELS_HEADER, labelsToHeader(task.labels));
}

function answer(response: GrantedResponse, error: unknown): void {
  if (!(error instanceof GrantError)) refuse(response, 503, 'unavailable');
  else if (FORBIDDEN.has(error.step)) refuse(response, 403, 'grant_refused', error.step);
  else refuse(response, 401, 'grant_invalid', error.step);
}

function refuse(response: GrantedResponse, status: number, error: string, step?: string): void {
  response.statusCode = status;
  response.setHeader('content-type', 'application/json');
  // RFC 9110 11.6.1: a 401 names a scheme.
  if (status === 401) response.setHeader('www-authenticate', 'SPIFFE-Grant');
  response.end(JSON.stringify({ error, step }));
}
