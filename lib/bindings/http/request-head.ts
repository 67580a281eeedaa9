// oxlint-disable no-underscore-dangle -- the names are Node's
import type { ClientRequest } from 'node:http';

/** The parts of a request that Node's types leave out. */
interface Outgoing {
  /** Written when the caller writes or ends; what is in it does not change any more. */
  _header: string | null;
  _headerSent: boolean;
  /** What waits for a socket; the head leads it, alone or with what follows. */
  readonly outputData: readonly [{ data: string }, ...unknown[]];
  _send(...args: readonly unknown[]): boolean;
}

/** A request without a socket, whose head gets one more header when that is known. */
export interface OpenHead {
  /** To be called before the request gets a socket. */
  add(value: string): void;
}

/**
 * Keeps the head of a request open for a header that is not known yet. Not by `setHeader`: once the caller has written
 * or ended, Node takes no header, and before that the caller could set another in its place. Nor does it stay on the
 * request, which is what clients print when they fail.
 *
 * @param refuse - called when the caller sets this header itself; nothing of the request leaves then.
 */
export function openHead(request: ClientRequest, name: string, refuse: () => Error): OpenHead {
  const outgoing = request as unknown as Outgoing;
  let line: string | undefined;
  // Called for the first time with the finished head, which it puts before what is sent.
  outgoing._send = (...args) => {
    Reflect.deleteProperty(outgoing, '_send');
    const head = outgoing._header ?? '';
    if (hasHeader(head, name)) {
      request.destroy(refuse());
      return false;
    }
    if (line === undefined) return outgoing._send(...args);
    outgoing._header = withLine(head, line);
    try {
      return outgoing._send(...args);
    } finally {
      outgoing._header = head;
    }
  };
  return {
    add: (value) => {
      line = `${name}: ${value}\r\n`;
      // It waits for its socket.
      if (outgoing._headerSent)
        outgoing.outputData[0].data = withLine(outgoing.outputData[0].data, line);
    },
  };
}

/** Whether the caller has set this header already, by whichever of Node's ways. */
export function setsHeader(request: ClientRequest, name: string): boolean {
  const { _header: head } = request as unknown as Outgoing;
  return request.hasHeader(name) || (head !== null && hasHeader(head, name));
}

function hasHeader(head: string, name: string): boolean {
  return head.toLowerCase().includes(`\r\n${name.toLowerCase()}:`);
}

/** After the first line, which names no header. */
function withLine(head: string, line: string): string {
  const at = head.indexOf('\r\n') + 2;
  return head.slice(0, at) + line + head.slice(at);
}
