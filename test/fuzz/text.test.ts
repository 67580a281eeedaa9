import {
  parsePeerRule,
  parseWorkloadApiAddress,
  SpiffeError,
  SpiffeId,
  TrustDomain,
} from 'agent-spiffe';
import { expect } from 'chai';
import { FUZZ_TIMEOUT_MS, fuzz } from '../support/fuzz.js';
import { ID_PARTS } from '../support/mutation/ids.js';
import type { Random } from '../support/mutation/random.js';
import { mutateText } from '../support/mutation/text.js';

const ID = 'spiffe://example.org/workload';
const LONG = 500_000;
const shown = (value: string): string => JSON.stringify(value.slice(0, 1000));
const changes =
  (parts: readonly string[]) =>
  (random: Random, value: string): string =>
    mutateText(random, value, parts);

describe('fuzzed, with nothing but SpiffeError and never more than 50 ms', function () {
  this.timeout(FUZZ_TIMEOUT_MS);

  it('SpiffeId.parse: what it takes comes out as it was', async () => {
    await fuzz({
      good: [ID, 'spiffe://example.org', `spiffe://a/${'b/'.repeat(1000)}c`],
      nasty: ['a', '/.', '/a', '/'].map((part) => `spiffe://a${part.repeat(LONG)}`),
      mutate: changes(ID_PARTS),
      parse: (value) => expect(SpiffeId.parse(value).toString()).to.equal(value),
      show: shown,
    });
  });

  it('TrustDomain.parse: what it takes comes out as it was', async () => {
    await fuzz({
      good: ['example.org', '127.0.0.1', '_-..x'],
      nasty: ['a'.repeat(LONG)],
      mutate: changes(ID_PARTS),
      parse: (value) => expect(TrustDomain.parse(value).name).to.equal(value),
      show: shown,
    });
  });

  it('parsePeerRule: no rule lets in a trust domain that it does not name', async () => {
    const strangers = ['spiffe://stranger/workload', `spiffe://stranger${'/a'.repeat(900)}`];
    const ids = [...strangers, `spiffe://td${'/a'.repeat(1000)}`].map((id) => SpiffeId.parse(id));
    await fuzz({
      good: [ID, 'spiffe://td/**', 'spiffe://td/*/b/*', 'spiffe://td/a/**'],
      nasty: [`spiffe://td/${'*/'.repeat(1000)}**`, `spiffe://td${'/*'.repeat(LONG)}`],
      mutate: changes([...ID_PARTS, '*', '**', '/*', '/**', '*/', '?']),
      parse: (value) => {
        const rule = parsePeerRule(value);
        for (const id of ids) if (rule(id)) expect(value).to.include(`//${id.trustDomain.name}/`);
      },
      show: shown,
    });
  });

  it('parseWorkloadApiAddress: what it takes is an absolute path, or a host and a port', async () => {
    const parts = 'unix: tcp: // / %2f %00 % ? # @ : [ ] 0 65536 .. a é'.split(' ');
    await fuzz({
      good: ['unix:///run/spire/agent.sock', 'unix:/a', 'tcp://127.0.0.1:8081', 'tcp://[::1]:8081'],
      nasty: [
        `unix:${'/a'.repeat(LONG)}`,
        `tcp://${'1.'.repeat(LONG)}:1`,
        `tcp://[${':'.repeat(LONG)}]:1`,
      ],
      mutate: changes([...parts, '\u0000', '\n', ' ']),
      parse: (value) => {
        const address = parseWorkloadApiAddress(value);
        if (address.kind === 'unix') expect(address.path).to.match(/^\//);
        else expect(address.port).to.be.within(1, 65_535);
      },
      show: shown,
    });
  });

  it('each of them refuses what is no text', () => {
    const hostile = {
      toString() {
        throw new TypeError('no text');
      },
    };
    const others = [
      undefined,
      null,
      0,
      Number.NaN,
      10n,
      true,
      Symbol('s'),
      {},
      [],
      [1],
      new Date(Number.NaN),
      Object.create(null),
      hostile,
      new Proxy({}, {}),
    ];
    for (const parse of [
      (value: never) => SpiffeId.parse(value),
      (value: never) => SpiffeId.of(value),
      (value: never) => SpiffeId.of('example.org', value),
      (value: never) => TrustDomain.parse(value),
      (value: never) => parsePeerRule(value),
      (value: never) => parsePeerRule([value] as never),
      (value: never) => parseWorkloadApiAddress(value),
    ]) {
      for (const other of others) expect(() => parse(other as never)).to.throw(SpiffeError);
    }
  });
});
