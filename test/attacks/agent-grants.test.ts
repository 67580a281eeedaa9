import { expect } from 'chai';
import { type GrantCase, judgeCase, OWN } from '../support/grant-vectors.js';

/** Each attack, and what the same does when it is honest; all of them cases of test/vectors/grant-spiffe.json. */
const ATTACKS: Readonly<
  Record<string, { readonly attack: readonly string[]; readonly twin: string }>
> = {
  'a grant that was stolen is shown by another identity': {
    attack: ['profile/peer', 'profile/peer-parent', 'profile/peer-longer', 'call/7b'],
    twin: 'profile/profile',
  },
  'a grant is shown after its end, or after it was revoked': {
    attack: ['root/3e', 'child/4i', 'profile/revoked-root', 'profile/revoked-leaf'],
    twin: 'root/3e-ok',
  },
  'a grant is shown whose revocation nobody knows': {
    attack: ['profile/revoked-unknown'],
    twin: 'profile/revoked-other-ok',
  },
  'a proof is used again, for other arguments or for another tool': {
    attack: ['call/7f', 'call/7e', 'call/7f-type', 'call/7c-hash'],
    twin: 'call/7f-form-ok',
  },
  'a proof is passed on to another service': {
    attack: ['call/7d', 'call/7d-none', 'call/7d-array'],
    twin: 'call/7d-second-ok',
  },
  'a root is backdated by the key of an SVID that has expired': {
    attack: ['profile/issuer-expired', 'profile/issuer-begins', 'profile/issuer-ends'],
    twin: 'profile/issuer-begins-ok',
  },
  'a root is signed by someone else, or in the name of another': {
    attack: [
      'profile/issuer-other',
      'profile/issuer-impostor',
      'profile/issuer-untrusted',
      'profile/issuer-foreign',
      'format/3b-jwk',
    ],
    twin: 'format/3b-jwk-ok',
  },
  'a child widens the tools, an argument, the depth or the life of its parent': {
    attack: ['child/4p1', 'child/4p2', 'child/4p3', 'child/4p4', 'child/4d-same', 'child/4m'],
    twin: 'child/4p-ok',
  },
  'a chain is cut, spliced, turned round or looped': {
    attack: [
      'child/4q-cut',
      'child/4q-spliced',
      'child/4q-swapped',
      'child/4q-middle-as-root',
      'format/2c-loop',
    ],
    twin: 'profile/profile',
  },
  'an algorithm is confused with another': {
    attack: [
      'format/3a-none',
      'format/3a-hmac',
      'format/3a-eddsa',
      'format/3a-rs256',
      'format/3a-other-curve',
      'format/3a-es384',
      'format/3a-header-twice',
      'child/4a-es256',
      'child/4a-none',
      'call/7a-none',
    ],
    twin: 'format/3a-es384-ok',
  },
  'a member stands twice': {
    attack: [
      'format/3b-twice',
      'format/3b-twice-escaped',
      'format/3b-twice-deep',
      'child/4b-twice',
      'call/7b-twice',
      'call/6b-twice',
    ],
    twin: 'format/3b-blanks-ok',
  },
  'a number changes when it is read': {
    attack: [
      'format/3b-float',
      'format/3b-huge',
      'root/3n-inexact',
      'call/6b-inexact',
      'call/7f-inexact',
    ],
    twin: 'call/6b-form-ok',
  },
  'a chain is too long, too large or too deep': {
    attack: ['format/2a', 'format/2b', 'child/4e-deep', 'root/3n-depth', 'format/3b-deep'],
    twin: 'child/4e-deep-ok',
  },
  'a delegate hides what was read': {
    attack: ['profile/labels-lower', 'profile/labels-trusted', 'profile/labels-none'],
    twin: 'profile/labels-higher-ok',
  },
  'a budget is raised': {
    attack: ['profile/budget-raised', 'profile/budget-tool-raised', 'profile/budget-zero'],
    twin: 'profile/profile',
  },
};

const caseOf = (id: string): GrantCase => {
  const found = OWN.vectors.find((each) => each.id === id);
  if (found === undefined) throw new Error(`there is no case ${id}`);
  return found;
};

describe('attack: grants', () => {
  for (const [title, { attack, twin }] of Object.entries(ATTACKS)) {
    it(`is refused: ${title}`, () => {
      for (const id of attack) expect(judgeCase(caseOf(id)), id).to.not.include(null);
      expect(judgeCase(caseOf(twin)).every((step) => step === null)).to.equal(true);
    });
  }

  it('is refused: a proof is used twice, and what follows it is not', () => {
    expect(judgeCase(caseOf('call/7i'))).to.deep.equal([null, '7i', null]);
  });

  it('is refused: a budget is overdrawn by many together', () => {
    expect(judgeCase(caseOf('profile/budget-shared'))).to.deep.equal([
      null,
      'budget',
      null,
      'budget',
    ]);
  });
});
