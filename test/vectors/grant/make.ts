/**
 * Writes `test/vectors/grant-spiffe.json` anew: `node dist-test/vectors/grant/make.js`. Every verdict in it was written
 * down by hand in the cases beside; nothing of the library but the test authority, which issues certificates, is asked.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CALL } from './call-cases.js';
import { CHILD } from './child-cases.js';
import type { Json } from './craft.js';
import { FORMAT } from './format-cases.js';
import { HOLDER } from './holder-cases.js';
import { PROFILE } from './profile-cases.js';
import { ROOT } from './root-cases.js';
import { NUMBERS, PAIRS } from './tables.js';
import { BUNDLES, ISSUERS, type Vector } from './world.js';

const groups = {
  format: FORMAT,
  root: ROOT,
  child: CHILD,
  holder: HOLDER,
  call: CALL,
  profile: PROFILE,
};
const vectors = Object.entries(groups).flatMap(([group, cases]) =>
  cases.map(({ id, title, calls }: Vector) => ({
    id: `${group}/${id}`,
    title,
    calls: calls.map((call) =>
      call.presentation === undefined
        ? call
        : { ...call, presentation: shorten(call.presentation) },
    ),
  })),
);
const ids = new Set(vectors.map(({ id }) => id));
if (ids.size !== vectors.length) throw new Error('an id stands twice');

/** Certificates that stand in most cases are written once. */
function shorten(presentation: Json | undefined): Json | undefined {
  const { spiffe_x5c: x5c, ...rest } = presentation as { readonly spiffe_x5c?: Json };
  const [name] = Object.entries(ISSUERS).find(([, issuer]) => issuer.x5c === x5c) ?? [];
  return name === undefined ? presentation : { ...rest, spiffe_x5c: name };
}

const lines = (items: readonly unknown[]): string =>
  items.map((item) => JSON.stringify(item)).join(',\n');
const text = `{
"profile": "agent-spiffe grants over draft-niyikiza-oauth-attenuating-agent-tokens-02",
"bundles": ${JSON.stringify(BUNDLES)},
"issuers": ${JSON.stringify(
  Object.fromEntries(Object.entries(ISSUERS).map(([name, { x5c }]) => [name, x5c])),
)},
"numbers": [
${lines(NUMBERS)}
],
"subsumption": [
${lines(PAIRS)}
],
"vectors": [
${lines(vectors)}
]
}
`;
writeFileSync(
  fileURLToPath(new URL('../../../test/vectors/grant-spiffe.json', import.meta.url)),
  text,
);
console.log(`${vectors.length} cases, ${PAIRS.length} pairs, ${NUMBERS.length} numbers`);
