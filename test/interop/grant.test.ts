import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { judgePublished, PUBLISHED } from '../support/aat-vectors.js';
import { judgeCase, OWN } from '../support/grant-vectors.js';
import { describeInterop, type Line, Program } from '../support/interop.js';

const fileOf = (name: string): string =>
  fileURLToPath(new URL(`../../test/vectors/${name}`, import.meta.url));

async function said(command: string, name: string): Promise<readonly Line[]> {
  await using program = Program.start('grant', [command, fileOf(name)]);
  return await program.rest();
}

describeInterop('grant', 'a verifier of grants that was written from docs/grant.md, in Go', () => {
  it('says of every call in our vectors what ours says, and refuses at the same step', async () => {
    const ours = OWN.vectors.flatMap((each) =>
      judgeCase(each).map((step, call) => ({ id: each.id, call, step })),
    );
    expect(ours.length).to.be.greaterThan(200);
    expect(await said('own', 'grant-spiffe.json')).to.deep.equal(ours);
  });

  it('says of every published vector what ours says, and refuses at the same step', async () => {
    const ours = PUBLISHED.vectors.map((vector) => ({
      id: vector.id,
      call: 0,
      step: judgePublished(vector),
    }));
    expect(ours).to.have.lengthOf(115);
    expect(await said('published', 'aat-02.json')).to.deep.equal(ours);
  });

  it('has the same pairs of constraints and takes the same numbers', async () => {
    const [tables] = await said('tables', 'grant-spiffe.json');
    expect(tables).to.deep.equal({
      subsumption: OWN.subsumption.map(({ subsumes }) => subsumes),
      numbers: OWN.numbers.map(({ admissible }) => admissible),
    });
  });
});
