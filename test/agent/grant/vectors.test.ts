import { expect } from 'chai';
import { foreignProblem } from '#lib/agent/constraint/foreign.js';
import { subsumes } from '#lib/agent/constraint/subsume.js';
import { parseStrictJson, plainJson } from '#lib/internal/strict-json.js';
import { judgeCase, OWN } from '../../support/grant-vectors.js';

describe('the vectors of our profile', () => {
  for (const each of OWN.vectors) {
    const steps = each.calls.map(({ expected }) => expected.step);
    const verdicts = steps.map((step) => (step === null ? 'permits' : `denies at ${step}`));
    it(`${each.id} ${verdicts.join(', ')}: ${each.title}`, () => {
      expect(judgeCase(each)).to.deep.equal(steps);
    });
  }

  for (const { text, admissible } of OWN.numbers) {
    it(`${admissible ? 'takes' : 'refuses'} the number ${text}`, () => {
      const read = (): unknown => plainJson(parseStrictJson(`[${text}]`));
      if (admissible) expect(read()).to.deep.equal([Number(text)]);
      else expect(read).to.throw('changes when it is read');
    });
  }

  for (const { parent, child, subsumes: expected } of OWN.subsumption) {
    const [above, below] = [JSON.stringify(parent), JSON.stringify(child)];
    it(`${above} is ${expected ? '' : 'not '}above ${below}`, () => {
      expect([foreignProblem(parent), foreignProblem(child)]).to.deep.equal([undefined, undefined]);
      expect(subsumes(parent, child)).to.equal(expected);
    });
  }
});
