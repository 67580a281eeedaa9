import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/**
 * A request of node:http as the web has it, `body` where that has been read; `undefined` for one that the web cannot have, such as a TRACE, or one to a
 * host of which there can be none.
 */
export function toRequest(
  incoming: IncomingMessage,
  signal: AbortSignal,
  body: Uint8Array | undefined,
): Request | undefined {
  const { method = 'GET', url = '/', rawHeaders } = incoming;
  const headers = new Headers();
  for (let i = 0; i < rawHeaders.length; i += 2)
    headers.append(rawHeaders[i] ?? '', rawHeaders[i + 1] ?? '');
  const hasBody = method !== 'GET' && method !== 'HEAD';
  try {
    return new Request(new URL(url, `https://${incoming.headers.host ?? 'localhost'}`), {
      method,
      headers,
      signal,
      ...(hasBody && { body: body ?? (Readable.toWeb(incoming) as never), duplex: 'half' }),
    });
  } catch {
    return undefined;
  }
}

/** Sends a response of the web as one of node:http. */
export async function sendResponse(response: Response, outgoing: ServerResponse): Promise<void> {
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  if (response.body === null) {
    outgoing.end();
    return;
  }
  // The head of a stream of events goes out before the first of them.
  outgoing.flushHeaders();
  await pipeline(Readable.fromWeb(response.body), outgoing);
}
