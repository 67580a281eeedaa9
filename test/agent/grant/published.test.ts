import { expect } from 'chai';
import { judgePublished, PUBLISHED } from '../../support/aat-vectors.js';

describe('the published vectors of Attenuating Agent Tokens -02', () => {
  it('are 115, of which 29 permit', () => {
    expect(PUBLISHED.vectors).to.have.lengthOf(115);
    const permitted = PUBLISHED.vectors.filter(({ expected }) => expected.verdict === 'PERMIT');
    expect(permitted).to.have.lengthOf(29);
  });

  for (const vector of PUBLISHED.vectors) {
    const { id, title, expected } = vector;
    const { verdict, step } = expected;
    it(`${id} ${verdict === 'PERMIT' ? 'permits' : `denies at ${step}`}: ${title}`, () => {
      const judged = judgePublished(vector);
      if (verdict === 'PERMIT') expect(judged).to.equal(null);
      else expect(step?.split('/')).to.include(judged);
    });
  }
});
