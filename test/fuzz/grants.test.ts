import { X509Bundles } from 'agent-spiffe';
import { expect } from 'chai';
import { presentationFromJson, presentationToJson } from '#lib/agent/grant/presentation.js';
import { ReplayCache } from '#lib/agent/grant/replay-cache.js';
import { FUZZ_TIMEOUT_MS, fuzz } from '../support/fuzz.js';
import { GrantWorld } from '../support/grants.js';
import { mutateJson } from '../support/mutation/json.js';
import type { Random } from '../support/mutation/random.js';
import { mutateText } from '../support/mutation/text.js';

interface Shown {
  /** A presentation as JSON. */
  readonly text: string;
  readonly argsJson: string;
}

const MEMBERS = ['aat_chain', 'aat_pop', 'spiffe_x5c', '__proto__'];
const PARTS = ['.', '..', '=', '-', 'A', ' ', '"', '{', '}', '[', ',', '\\u0000', 'é', '1e400'];
const KIB = 1024;

describe('fuzzed grants, with nothing but GrantError and never more than 50 ms', function () {
  this.timeout(FUZZ_TIMEOUT_MS);
  const world = new GrantWorld();
  const bundles = X509Bundles.of(world.ca.bundle);
  const argsJson = '{"to":"ann@acme.example","body":"hello"}';
  const shown = (chain: readonly string[]): Shown => ({
    text: JSON.stringify(presentationToJson(world.present(chain))),
    argsJson,
  });
  const judge = ({ text, argsJson: args }: Shown): unknown => {
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      return undefined;
    }
    const presentation = presentationFromJson(json);
    const options = { bundles, argsJson: args, replay: new ReplayCache() };
    return world.verify(presentation, options);
  };

  it('takes no chain, proof or argument of which a sign was changed', async () => {
    const chain = world.chain();
    const good = shown(chain);
    const honest = JSON.parse(good.text) as Record<string, unknown>;
    const count = await fuzz<Shown>({
      good: [good, shown(chain.slice(0, 2)), shown(chain.slice(0, 1))],
      mutate(random: Random, { text, argsJson: args }) {
        if (random.oneIn(4)) return { text, argsJson: mutateText(random, args, PARTS) };
        if (random.oneIn(3))
          return {
            text: JSON.stringify(mutateJson(random, safe(text), MEMBERS)) ?? '',
            argsJson: args,
          };
        return { text: mutateText(random, text, PARTS), argsJson: args };
      },
      nasty: [
        { text: good.text, argsJson: '['.repeat(100 * KIB) },
        { text: good.text, argsJson: `{"a":${'{"a":'.repeat(100 * KIB)}` },
        { text: good.text, argsJson: `{"to":1${'0'.repeat(100 * KIB)}}` },
        { text: good.text, argsJson: `{"to":1e${'9'.repeat(100 * KIB)}}` },
        { text: good.text, argsJson: `{${'"a":1,'.repeat(20 * KIB)}"b":2}` },
        {
          text: JSON.stringify({ ...honest, aat_chain: Array.from({ length: 100_000 }, () => '') }),
          argsJson,
        },
        { text: JSON.stringify({ ...honest, aat_pop: '.'.repeat(60 * KIB) }), argsJson },
        {
          text: JSON.stringify({ ...honest, aat_chain: [`e30.${'e'.repeat(60 * KIB)}.e30`] }),
          argsJson,
        },
      ],
      parse(input) {
        const verified = judge(input);
        if (verified === undefined) return;
        // What is still taken says what was signed: the same call.
        const { args } = verified as { args: unknown };
        expect(args).to.deep.equal(JSON.parse(argsJson));
      },
      show: ({ text, argsJson: args }) =>
        JSON.stringify([text.slice(0, 4000), args.slice(0, 1000)]),
    });
    expect(count).to.be.greaterThan(200);
  });
});

function safe(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
