import { expect } from 'chai';
import { backoffMs } from '#lib/internal/backoff.js';

const LIMITS = { firstMs: 200, longestMs: 1500 };

describe('the wait between attempts', () => {
  it('begins at the first wait and doubles up to the longest', () => {
    const least = [1, 2, 3, 4, 5, 60, 2000].map((failures) => backoffMs(LIMITS, failures, 0));
    expect(least).to.deep.equal([200, 400, 800, 1000, 1000, 1000, 1000]);
  });

  it('is spread by half, and never above the longest', () => {
    const most = [1, 2, 3, 4, 5, 60, 2000].map((failures) => backoffMs(LIMITS, failures, 1));
    expect(most).to.deep.equal([300, 600, 1200, 1500, 1500, 1500, 1500]);
    expect(backoffMs(LIMITS, 1, 0.5)).to.equal(250);
  });
});
