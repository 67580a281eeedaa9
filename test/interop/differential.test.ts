import { expect } from 'chai';
import { describeInterop, Program } from '../support/interop.js';
import { noteDifferences } from '../support/interop-matrix.js';
import type { Case, Kind } from '../support/mutation/case.js';
import { ChainMaker } from '../support/mutation/chains.js';
import { idCase } from '../support/mutation/ids.js';
import { Random } from '../support/mutation/random.js';
import { TokenMaker } from '../support/mutation/tokens.js';
import { ALL_DIFFERENCES, describeCase, difference, explained, type Judged } from './compare.js';
import type { GoSaid } from './differences.js';

/** `DIFFERENTIAL_CASES` and `DIFFERENTIAL_SEED` ask for more, or for others. */
const CASES = Number(process.env['DIFFERENTIAL_CASES'] ?? 20_000);
const SEED = Number(process.env['DIFFERENTIAL_SEED'] ?? 20260601);
const BATCH = 200;
/** Out of a hundred. */
const SHARES: Readonly<Record<Kind, number>> = {
  id: 30,
  x509: 30,
  svid: 6,
  x509bundle: 4,
  pem: 3,
  jwt: 20,
  jwks: 7,
};

describeInterop('go', 'go-spiffe and we on the same documents', function () {
  this.timeout(10 * 60_000);
  const random = new Random(SEED);
  const chains = new ChainMaker(random);
  const tokens = new TokenMaker(random);
  const makers: Readonly<Record<Kind, () => Case>> = {
    id: () => idCase(random),
    x509: () => chains.chain(),
    svid: () => chains.svid(),
    x509bundle: () => chains.bundle('x509bundle'),
    pem: () => chains.bundle('pem'),
    jwt: () => tokens.token(),
    jwks: () => tokens.keys(),
  };
  const schedule = Object.entries(SHARES).flatMap(([kind, share]) =>
    Array.from({ length: share }, () => kind as Kind),
  );

  it(`agree on ${CASES} of them but for the differences that are named`, async () => {
    await using oracle = Program.start('go', ['oracle']);
    const unexplained: string[] = [];
    const tally = new Map<string, number>();
    const count = (what: string): void => {
      tally.set(what, (tally.get(what) ?? 0) + 1);
    };
    for (let done = 0; done < CASES; done += BATCH) {
      const cases = Array.from({ length: Math.min(BATCH, CASES - done) }, (_, at) =>
        makers[schedule[(done + at) % schedule.length] as Kind](),
      );
      for (const { question } of cases) oracle.write(JSON.stringify(question));
      for (const one of cases) {
        const ours = await one.ours();
        const judged: Judged = { one, ours, go: (await oracle.next()) as unknown as GoSaid };
        const how = difference(judged);
        if (how !== undefined && !explained(judged)) unexplained.push(describeCase(judged, how));
        count(`${one.kind} ${ours.accept ? 'accepted' : 'refused'}`);
      }
    }
    expect(
      unexplained.slice(0, 5),
      `${unexplained.length} differences without a reason (seed ${SEED})`,
    ).to.deep.equal([]);
    noteDifferences(ALL_DIFFERENCES);
    // Of each kind some are good and some are not: were all of them rubbish, agreeing would be easy.
    for (const [kind, share] of Object.entries(SHARES)) {
      for (const outcome of ['accepted', 'refused'])
        expect(tally.get(`${kind} ${outcome}`) ?? 0, `${kind} ${outcome}`).to.be.above(
          (CASES * share) / 2000,
        );
    }
  });
});
