import { expect } from 'chai';
import { textWithin } from '#lib/internal/bounded-text.js';

/** A response without an end; tells how many pieces of a kilobyte were read of it, and whether it was let go. */
function endless(): {
  readonly response: Response;
  readonly seen: { pieces: number; gone: boolean };
} {
  const seen = { pieces: 0, gone: false };
  const body = new ReadableStream({
    pull: (controller) => {
      seen.pieces += 1;
      controller.enqueue(new Uint8Array(1024).fill(0x61));
    },
    cancel: () => {
      seen.gone = true;
    },
  });
  return { response: new Response(body), seen };
}

describe('the text of a response', () => {
  it('is read as far as it may be long, and the rest is let go', async () => {
    const { response, seen } = endless();
    expect(await textWithin(response, 10_240)).to.equal(undefined);
    expect(seen.pieces).to.be.within(11, 13);
    expect(seen.gone).to.equal(true);
  });

  it('is given whole up to that, as UTF-8', async () => {
    expect(await textWithin(new Response('grün'), 5)).to.equal('grün');
    expect(await textWithin(new Response('grün'), 4)).to.equal(undefined);
    expect(await textWithin(new Response(null), 4)).to.equal('');
  });

  it('of what has no body to read piece by piece is measured when it is there', async () => {
    const plain = { text: () => Promise.resolve('four') };
    expect(await textWithin(plain, 4)).to.equal('four');
    expect(await textWithin(plain, 3)).to.equal(undefined);
  });
});
