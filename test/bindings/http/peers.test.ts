import { ANY_SPIFFE_ID, type SpiffeErrorCode, SpiffeId } from 'agent-spiffe';
import { createAgent, createDispatcher, createFetch, type Peers } from 'agent-spiffe/http';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { urlAt } from '#lib/bindings/http/targets.js';
import { refusal } from '../../support/refusal.js';
import { staticIdentity } from '../../support/static-identity.js';

const ca = TestCa.create('example.org');
const me = staticIdentity(ca, 'spiffe://example.org/me');
const ID = 'spiffe://example.org/tools';
const KEY = 'https://tools.internal:8443';

const isTools = (id: SpiffeId): boolean => id.path === '/tools';
const never = (): never => expect.fail('asked');

const MAKERS = [
  ['createFetch', createFetch],
  ['createDispatcher', createDispatcher],
  ['createAgent', createAgent],
] as const;

/** Origins as written, and what is said of them. */
const BAD_ORIGINS: ReadonlyArray<readonly [string, RegExp]> = [
  ['http://tools.internal:8443', /not the origin of an https URL/],
  ['wss://tools.internal', /not the origin of an https URL/],
  ['spiffe://example.org/tools', /not the origin of an https URL/],
  ['tools.internal:8443', /not the origin of an https URL/],
  ['//tools.internal', /not the origin of an https URL/],
  ['', /not the origin of an https URL/],
  ['*', /not the origin of an https URL/],
  ['https://', /not the origin of an https URL/],
  ['https://tools.internal:99999', /not the origin of an https URL/],
  ['https://tools.internal/', /write it as "https:\/\/tools\.internal"/],
  ['https://tools.internal/api', /write it as "https:\/\/tools\.internal"/],
  ['https://tools.internal?x', /write it as "https:\/\/tools\.internal"/],
  ['https://tools.internal#', /write it as "https:\/\/tools\.internal"/],
  ['https://user@tools.internal', /write it as "https:\/\/tools\.internal"/],
  ['https://@tools.internal', /write it as "https:\/\/tools\.internal"/],
  ['https:tools.internal', /write it as "https:\/\/tools\.internal"/],
  ['https:\\\\tools.internal', /write it as "https:\/\/tools\.internal"/],
  [' https://tools.internal', /write it as "https:\/\/tools\.internal"/],
  ['https://tools.\tinternal', /write it as "https:\/\/tools\.internal"/],
  ['https://tools.internal:', /write it as "https:\/\/tools\.internal"/],
  ['https://tools.internal:08443', /write it as "https:\/\/tools\.internal:8443"/],
  ['https://127.1:8443', /write it as "https:\/\/127\.0\.0\.1:8443"/],
  ['https://[0:0::1]:8443', /write it as "https:\/\/\[::1\]:8443"/],
  ['https://%74ools.internal', /write it as "https:\/\/tools\.internal"/],
];

const GOOD_ORIGINS: ReadonlyArray<readonly [string, string]> = [
  [KEY, 'https://tools.internal:8443/search?q=spiffe'],
  ['https://tools.internal', 'https://tools.internal/'],
  ['https://tools.internal:443', 'https://tools.internal/'],
  ['https://tools.internal', 'https://tools.internal:443/x'],
  ['HTTPS://Tools.Internal:8443', 'https://tools.internal:8443/'],
  ['https://127.0.0.1:1', 'https://127.1:1/'],
  ['https://[::1]:8443', 'https://[0::1]:8443/'],
];

const BAD_PEERS: ReadonlyArray<readonly [string, unknown, SpiffeErrorCode, RegExp]> = [
  ['left out', undefined, 'ERR_SPIFFE_OPTION_INVALID', /there is no default/],
  ['null', null, 'ERR_SPIFFE_OPTION_INVALID', /there is no default/],
  ['a rule alone', ID, 'ERR_SPIFFE_OPTION_INVALID', /there is no default/],
  ['a list', [ID], 'ERR_SPIFFE_OPTION_INVALID', /neither an object of origins nor a function/],
  ['an async function', async () => ID, 'ERR_SPIFFE_OPTION_INVALID', /async function/],
  ['empty', {}, 'ERR_SPIFFE_OPTION_INVALID', /names no origin/],
  [
    'one origin written twice',
    { 'https://tools.internal': ID, 'https://tools.internal:443': ID },
    'ERR_SPIFFE_OPTION_INVALID',
    /a second time/,
  ],
  [
    'an unknown field',
    { [KEY]: { id: ID, audience: 'x' } },
    'ERR_SPIFFE_OPTION_INVALID',
    /audience/,
  ],
  ['a binding without an ID', { [KEY]: {} }, 'ERR_SPIFFE_PEER_RULE_INVALID', /none of/],
  ['no rule', { [KEY]: undefined }, 'ERR_SPIFFE_PEER_RULE_INVALID', /none of/],
  ['a null rule', { [KEY]: null }, 'ERR_SPIFFE_PEER_RULE_INVALID', /none of/],
  ['a bad rule', { [KEY]: 'tools' }, 'ERR_SPIFFE_PEER_RULE_INVALID', /"tools"/],
  ['a bad rule in a binding', { [KEY]: { id: '*' } }, 'ERR_SPIFFE_PEER_RULE_INVALID', /"\*"/],
  ['an empty list', { [KEY]: [] }, 'ERR_SPIFFE_PEER_RULE_INVALID', /empty list/],
  [
    'a bad rule behind a good one',
    { [KEY]: ID, 'https://b.internal': 'x' },
    'ERR_SPIFFE_PEER_RULE_INVALID',
    /"x"/,
  ],
];

for (const [name, make] of MAKERS) {
  describe(`the peers of ${name}`, () => {
    for (const [origin, says] of BAD_ORIGINS) {
      it(`are refused with ${JSON.stringify(origin)} as an origin`, () => {
        const peers = { [origin]: ID };
        refusal('ERR_SPIFFE_OPTION_INVALID', says, () => make(me, { peers }));
      });
    }

    for (const [title, peers, code, says] of BAD_PEERS) {
      it(`are refused when they are or hold ${title}`, () => {
        refusal(code, says, () => make(me, { peers: peers as Peers }));
      });
    }

    for (const connectTimeoutMs of [0, -5, 0.5, Number.POSITIVE_INFINITY]) {
      it(`are not used with a time-out of ${connectTimeoutMs} ms`, () => {
        refusal('ERR_SPIFFE_OPTION_INVALID', 'connectTimeoutMs', () =>
          make(me, { peers: { [KEY]: ID }, connectTimeoutMs }),
        );
      });
    }
  });
}

describe('peers', () => {
  it('are never left out', () => {
    // @ts-expect-error -- there is no default
    refusal('ERR_SPIFFE_OPTION_INVALID', 'there is no default', () => createFetch(me, {}));
    // @ts-expect-error -- there is no default
    refusal('ERR_SPIFFE_OPTION_INVALID', 'there is no default', () => createDispatcher(me, {}));
    // @ts-expect-error -- there is no default
    refusal('ERR_SPIFFE_OPTION_INVALID', 'there is no default', () => createAgent(me, {}));
  });

  for (const [origin, url] of GOOD_ORIGINS) {
    it(`named for ${origin} answer for ${url}`, () => {
      const fetch = createFetch(me, { peers: { [origin]: ID } });
      expect(fetch.peerRule(url)).to.equal(ID);
    });
  }

  it('are rules of every form, bare or in a binding, and given back as they were', () => {
    const list = [ID, 'spiffe://example.org/agents/**'];
    const exact = SpiffeId.parse(ID);
    const fetch = createFetch(me, {
      peers: {
        'https://a': ID,
        'https://b': exact,
        'https://c': list,
        'https://d': ANY_SPIFFE_ID,
        'https://e': isTools,
        'https://f': { id: list },
        'https://g': { id: ANY_SPIFFE_ID },
      },
    });
    const rules = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((host) =>
      fetch.peerRule(`https://${host}`),
    );
    expect(rules).to.deep.equal([ID, exact, list, ANY_SPIFFE_ID, isTools, list, ANY_SPIFFE_ID]);
  });

  it('are what they were when they were given', () => {
    const peers: Record<string, string> = { [KEY]: ID };
    const fetch = createFetch(me, { peers });
    peers[KEY] = 'spiffe://example.org/other';
    peers['https://late.internal'] = ID;
    expect(fetch.peerRule(KEY)).to.equal(ID);
    refusal('ERR_SPIFFE_TARGET_NOT_BOUND', 'https://late.internal', () =>
      fetch.peerRule('https://late.internal'),
    );
  });

  it('may be a function of the URL, which is asked with a copy', () => {
    const asked: string[] = [];
    const fetch = createFetch(me, {
      peers: (url) => {
        asked.push(url.href);
        url.hostname = 'elsewhere';
        return { id: ID };
      },
    });
    const url = new URL('https://tools.internal:8443/search?q=1');
    expect(fetch.peerRule(url)).to.equal(ID);
    expect(asked).to.deep.equal(['https://tools.internal:8443/search?q=1']);
    expect(url.hostname).to.equal('tools.internal');
  });

  it('refuse what a function does not name, names badly, or fails on', () => {
    const cause = new TypeError('broken');
    const answers: ReadonlyArray<readonly [() => unknown, SpiffeErrorCode]> = [
      [() => undefined, 'ERR_SPIFFE_TARGET_NOT_BOUND'],
      [() => 'tools', 'ERR_SPIFFE_PEER_RULE_INVALID'],
      [() => null, 'ERR_SPIFFE_PEER_RULE_INVALID'],
      [
        () => {
          throw cause;
        },
        'ERR_SPIFFE_TARGET_NOT_BOUND',
      ],
    ];
    for (const [peers, code] of answers) {
      const fetch = createFetch(me, { peers: peers as () => undefined });
      const error = refusal(code, '', () => fetch.peerRule(KEY));
      if (code === 'ERR_SPIFFE_TARGET_NOT_BOUND')
        expect([undefined, cause]).to.include(error.cause);
    }
  });

  it('refuse a target for which a function gives a promise, whose rejection then ends nothing', async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown): void => {
      unhandled.push(reason);
    };
    process.on('unhandledRejection', note);
    const fetch = createFetch(me, { peers: (() => Promise.reject(new Error('late'))) as never });
    refusal('ERR_SPIFFE_TARGET_NOT_BOUND', 'promise', () => fetch.peerRule(KEY));
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', note);
    expect(unhandled).to.deep.equal([]);
  });

  for (const url of [
    'http://tools.internal:8443/',
    'ws://tools.internal',
    'data:,x',
    'file:///x',
  ]) {
    it(`refuse ${url} before anyone is asked`, () => {
      refusal('ERR_SPIFFE_TARGET_INSECURE', 'use https', () =>
        createFetch(me, { peers: never }).peerRule(url),
      );
      refusal('ERR_SPIFFE_TARGET_INSECURE', 'use https', () =>
        createFetch(me, { peers: { [KEY]: ID } }).peerRule(url),
      );
    });
  }

  for (const url of ['/search', 'tools.internal', 'https://', '', 7]) {
    it(`refuse ${JSON.stringify(url)}, which is no absolute URL`, () => {
      const fetch = createFetch(me, { peers: { [KEY]: ID } });
      refusal('ERR_SPIFFE_OPTION_INVALID', 'absolute URL', () => fetch.peerRule(url as string));
    });
  }
});

describe('the URL of a path at an origin', () => {
  for (const [path, href] of [
    ['/', 'https://a.example/'],
    ['/x?y=1?2#3', 'https://a.example/x?y=1?2%233'],
    ['//b.example/x', 'https://a.example//b.example/x'],
    ['https://b.example/x', 'https://a.example/https://b.example/x'],
    ['\\\\b.example\\x', 'https://a.example//b.example/x'],
    ['', 'https://a.example/'],
    ['?q', 'https://a.example/?q'],
  ] as const) {
    it(`stays at the origin for the path ${JSON.stringify(path)}`, () => {
      const url = urlAt('https://a.example', path);
      expect(url.origin).to.equal('https://a.example');
      expect(url.href).to.equal(href);
    });
  }
});
