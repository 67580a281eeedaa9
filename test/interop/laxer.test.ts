import { ANY_SPIFFE_ID, JwtBundle, JwtBundles, SpiffeId, verifyJwtSvid } from 'agent-spiffe';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { extKeyUsage, keyUsage, SERVER_AUTH, uriNameConstraints } from '#lib/testing/extensions.js';
import { makeKey } from '#lib/testing/keys.js';
import { add, type Change, drop, put } from '../support/chain.js';
import { craftToken, goodParts, publicJwk, type TokenParts } from '../support/craft-token.js';
import { craftLeaf, present } from '../support/crafted.js';
import { describeInterop, type Line, Program } from '../support/interop.js';
import { laxer, type Peer } from '../support/interop-matrix.js';
import { GO, type MtlsPeer, ourServer, RUST, sides, theirServer } from './mtls-peer.js';
import type { Language } from './programs.mjs';

const ID = 'spiffe://example.org/workload';
const KEY_USAGE = '2.5.29.15';
const BASIC_CONSTRAINTS = '2.5.29.19';
const OK = /^HTTP\/1\.1 200 /;

function portOf(origin: string): number {
  return Number(new URL(origin).port);
}

/** Both servers are shown the certificate by one and the same client: theirs answers, ours does not. */
function accepts(
  peer: MtlsPeer,
  rule: string,
  what: string,
  options: {
    /** What the certificate says, */
    readonly id?: string;
    /** what they take it for, */
    readonly takenFor?: string;
    /** and what is odd beside. */
    readonly change?: Change;
  },
): void {
  const { id = ID, takenFor = id, change } = options;
  laxer(peer.name, rule, what, async () => {
    await using both = await sides();
    const crafted = craftLeaf(both.api.ca.authority, id, change);
    await using theirs = await theirServer(peer, both.api.address, takenFor);
    expect((await present(portOf(theirs.origin), crafted)).answer).to.match(OK);
    await using ours = await ourServer(both.me, ANY_SPIFFE_ID);
    expect((await present(ours.port, crafted)).answer).to.equal('');
    const good = craftLeaf(both.api.ca.authority, ID);
    expect((await present(ours.port, good)).answer).to.match(OK);
  });
}

describeInterop('go', 'go-spiffe: certificates that it accepts', () => {
  accepts(GO, 'X509-07', 'a leaf whose SPIFFE ID has no path', { id: 'spiffe://example.org' });
  accepts(GO, 'X509-22, A-06', 'a leaf without key usage', { change: drop(KEY_USAGE) });
  accepts(GO, 'X509-22, A-06', 'a leaf whose key usage lacks digitalSignature', {
    change: put(keyUsage(['keyEncipherment'])),
  });
  accepts(GO, 'X509-08, A-01', 'a URI with its scheme in upper case', {
    id: 'SPIFFE://example.org/workload',
    takenFor: ID,
  });
  accepts(GO, 'ID-02', 'a URI with an empty fragment behind it', { id: `${ID}#`, takenFor: ID });
  accepts(GO, 'A-02', 'a SPIFFE ID of more than 2048 bytes', {
    id: `spiffe://example.org/${'a'.repeat(2040)}`,
  });
  accepts(GO, 'X509-18, A-31', 'a leaf with name constraints', {
    change: add(uriNameConstraints({ permitted: ['example.org'] })),
  });

  laxer(
    'go-spiffe',
    'X509-30',
    'a resumed TLS session, without looking at the bundle again',
    async () => {
      await using both = await sides();
      const partner = TestCa.create('partner.test');
      const peer = 'spiffe://partner.test/workload';
      both.api.federate(partner);
      const crafted = craftLeaf(partner.authority, peer);
      await using theirs = await theirServer(GO, both.api.address, peer);
      const port = portOf(theirs.origin);
      const { answer, session } = await present(port, crafted);
      expect(answer).to.match(OK);
      expect(session).to.be.instanceOf(Buffer);
      both.api.unfederate('partner.test');
      // Until it has heard of it: whoever comes without a session is refused.
      while ((await present(port, crafted)).answer !== '');
      const resumed = await present(port, crafted, { ...(session && { session }) });
      expect(resumed.answer).to.match(OK).and.to.include('"resumed":true');
    },
  );
});

describeInterop('rust', 'rust-spiffe: certificates that it accepts', () => {
  accepts(RUST, 'X509-08, A-01', 'a URI with its scheme in upper case', {
    id: 'SPIFFE://example.org/workload',
    takenFor: ID,
  });
  accepts(RUST, 'ID-04, A-01', 'a trust domain in upper case', {
    id: 'spiffe://EXAMPLE.org/workload',
    takenFor: ID,
  });
  accepts(RUST, 'X509-18, A-31', 'a leaf with name constraints', {
    change: add(uriNameConstraints({ permitted: ['example.org'] })),
  });

  it('is stricter than we are: it wants basic constraints, and both purposes or none', async () => {
    for (const change of [drop(BASIC_CONSTRAINTS), put(extKeyUsage([SERVER_AUTH]))]) {
      await using both = await sides();
      const crafted = craftLeaf(both.api.ca.authority, ID, change);
      await using theirs = await theirServer(RUST, both.api.address, ID);
      expect((await present(portOf(theirs.origin), crafted)).answer).to.equal('');
      await using ours = await ourServer(both.me, ANY_SPIFFE_ID);
      expect((await present(ours.port, crafted)).answer).to.match(OK);
    }
  });
});

const KEY = makeKey('ec-p256');
const JWK = publicJwk(KEY, 'key-1');

interface Judged {
  readonly peer: Peer;
  readonly language: Language;
}
const GO_ORACLE: Judged = { peer: 'go-spiffe', language: 'go' };
const PYTHON_ORACLE: Judged = { peer: 'py-spiffe', language: 'python' };

async function verdict(language: Language, question: object): Promise<Line> {
  await using oracle = Program.start(language, ['oracle']);
  oracle.write(JSON.stringify(question));
  return await oracle.next();
}

/** A good token or key set, but for what is said here. */
interface Odd extends TokenParts {
  readonly jwk?: object;
  readonly behind?: string;
  readonly audience?: readonly string[];
}

/** They accept the token; we do not, and accept its twin without the oddity. */
function acceptsToken({ peer, language }: Judged, rule: string, what: string, odd: Odd): void {
  laxer(peer, rule, what, async () => {
    const said = await verdict(language, questionOf(odd));
    expect(said, JSON.stringify(said)).to.include({ accept: true });
    expect(await weAccept(odd)).to.equal(false);
    expect(await weAccept({})).to.equal(true);
  });
}

function tokenOf({ header, claims, behind = '' }: Odd): string {
  const good = goodParts();
  const parts = { header: { ...good.header, ...header }, claims: { ...good.claims, ...claims } };
  return craftToken(KEY, parts) + behind;
}

function jwksOf({ jwk }: Odd): string {
  return JSON.stringify({ keys: [{ ...JWK, ...jwk }] });
}

function questionOf(odd: Odd): object {
  const bundles = { 'example.org': Buffer.from(jwksOf(odd)).toString('base64') };
  return { kind: 'jwt', text: tokenOf(odd), bundles, audience: odd.audience ?? ['reports'] };
}

async function weAccept(odd: Odd): Promise<boolean> {
  const bundles = JwtBundles.of(JwtBundle.parse('example.org', jwksOf(odd)));
  const options = { audience: odd.audience ?? ['reports'] };
  return await verifyJwtSvid(tokenOf(odd), bundles, options).then(
    () => true,
    () => false,
  );
}

describeInterop('go', 'go-spiffe: tokens that it accepts', () => {
  acceptsToken(GO_ORACLE, 'JWT-12', 'a token for anyone, where no audience was configured', {
    audience: [],
  });
  acceptsToken(GO_ORACLE, 'A-05', 'a token whose subject has no path', {
    claims: { sub: 'spiffe://example.org' },
  });
  acceptsToken(GO_ORACLE, 'JWT-03, A-32', 'a token with a critical header', {
    header: { crit: ['b64'], b64: true },
  });
  acceptsToken(GO_ORACLE, 'JWT-01', 'a token with a line end behind it', { behind: '\n' });
  acceptsToken(GO_ORACLE, 'JWT-25', 'a token signed with a key that is for X.509', {
    jwk: { use: 'x509-svid' },
  });
});

describeInterop('python', 'py-spiffe: tokens and IDs that it accepts', () => {
  acceptsToken(PYTHON_ORACLE, 'A-05', 'a token whose subject has no path', {
    claims: { sub: 'spiffe://example.org' },
  });
  acceptsToken(PYTHON_ORACLE, 'JWT-03, A-32', 'a token with a critical header', {
    header: { crit: ['b64'], b64: true },
  });
  acceptsToken(PYTHON_ORACLE, 'JWT-15', 'a token whose expiry is text', {
    claims: { exp: String(goodParts().claims['exp']) },
  });
  acceptsToken(PYTHON_ORACLE, 'JWT-25', 'a token signed with a key that is for X.509', {
    jwk: { use: 'x509-svid' },
  });
  for (const [rule, what, text] of [
    ['ID-01', 'an ID with its scheme in upper case', 'SPIFFE://example.org/workload'],
    ['ID-04, A-01', 'a trust domain in upper case', 'spiffe://EXAMPLE.org/workload'],
    ['ID-12', 'an ID with a line end behind it', 'spiffe://example.org/workload\n'],
    ['ID-17', 'a trust domain of more than 255 bytes', `spiffe://${'a'.repeat(256)}/workload`],
  ] as const) {
    laxer('py-spiffe', rule, what, async () => {
      expect(await verdict('python', { kind: 'id', text })).to.include({ accept: true });
      expect(() => SpiffeId.parse(text)).to.throw('[ERR_SPIFFE_ID_INVALID]');
    });
  }
});
