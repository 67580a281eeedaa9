import { SpiffeError } from '../../errors.js';
import { quote } from '../../internal/quote.js';
import { ADDRESS_VARIABLE, describeAddress, type WorkloadApiAddress } from './address.js';

/** How a call ended. */
export interface StreamEnd {
  /** The gRPC status number. */
  readonly status: number;
  /** What the server, or the transport, said about it. */
  readonly details: string;
  /** The endpoint could not be reached, or went away: the transport's word and not the server's. */
  readonly unreachable: boolean;
}

export const OK = 0;
export const INVALID_ARGUMENT = 3;
export const DEADLINE_EXCEEDED = 4;
export const PERMISSION_DENIED = 7;
export const UNIMPLEMENTED = 12;

/** The names of the gRPC status numbers, in their order. */
const STATUS_NAMES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
];

/** The end of a call as an error that says what to look at. */
export function streamFailure(end: StreamEnd, address: WorkloadApiAddress): SpiffeError {
  const api = `the Workload API at ${describeAddress(address)}`;
  const grpcStatus = end.status;
  const said = `${STATUS_NAMES[end.status] ?? 'status'} (${end.status}): ${quote(end.details)}`;
  switch (end.status) {
    case PERMISSION_DENIED:
      return new SpiffeError(
        'ERR_SPIFFE_WORKLOAD_API_DENIED',
        `${api} has no identity for this process (${thisProcess()}), ${said}; no registration entry matches it: create one whose selectors do`,
        { grpcStatus },
      );
    case INVALID_ARGUMENT:
    case UNIMPLEMENTED:
      return new SpiffeError(
        'ERR_SPIFFE_WORKLOAD_API_REJECTED',
        `${api} refused the call for good with ${said}; is a SPIFFE Workload API at this address, and is this profile switched on there?`,
        { grpcStatus },
      );
    case OK:
      return new SpiffeError(
        'ERR_SPIFFE_WORKLOAD_API_UNAVAILABLE',
        `${api} ended the stream as soon as it had begun`,
        { grpcStatus },
      );
    default:
      return new SpiffeError(
        'ERR_SPIFFE_WORKLOAD_API_UNAVAILABLE',
        end.unreachable
          ? `cannot reach ${api}, ${said}${whatToCheck(end.details)}`
          : `${api} ended the call with ${said}`,
        { grpcStatus },
      );
  }
}

/** The transport's own word for it is part of a text, and grpc-js gives it nowhere else. */
function whatToCheck(details: string): string {
  if (details.includes('ENOENT'))
    return `; there is no socket: is the agent running, and does ${ADDRESS_VARIABLE} point at its socket?`;
  if (details.includes('EACCES'))
    return `; the socket is closed to this process (${thisProcess()}): look at the permissions of it and of its folder`;
  if (details.includes('ECONNREFUSED')) return '; nothing listens there: is the agent running?';
  return '';
}

function thisProcess(): string {
  const uid = process.getuid?.();
  return uid === undefined ? `pid ${process.pid}` : `uid ${uid}, pid ${process.pid}`;
}
