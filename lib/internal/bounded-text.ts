/** What of a response is needed to read it; undici's fits, and whatever has no `body` is read whole. */
export interface ReadableResponse {
  text(): Promise<string>;
}

/**
 * The text of a response, of which no more is read than `most` bytes: whoever answers must not fill our memory. Gives
 * `undefined` for a longer one, and lets go of the rest.
 */
export async function textWithin(
  response: ReadableResponse,
  most: number,
): Promise<string | undefined> {
  const { body } = response as { readonly body?: AsyncIterable<Uint8Array> | null };
  if (typeof body?.[Symbol.asyncIterator] !== 'function') {
    const text = await response.text();
    return text.length > most ? undefined : text;
  }
  return (await bytesWithin(body, most))?.toString('utf8');
}

/** All of a stream, such as the body of a request; `undefined` for one of more than `most` bytes, of which it lets go. */
export async function bytesWithin(
  stream: AsyncIterable<Uint8Array>,
  most: number,
): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    length += chunk.length;
    if (length > most) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
