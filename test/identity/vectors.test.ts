import {
  ANY_SPIFFE_ID,
  type PeerRule,
  parsePeerRule,
  SpiffeError,
  type SpiffeErrorCode,
  SpiffeId,
  verifyX509Svid,
  X509Bundle,
  X509Bundles,
} from 'agent-spiffe';
import { expect } from 'chai';
import { VECTORS_NOW, type VectorInputs, vectorsOf } from '../support/vectors.js';

type Kind = Exclude<keyof VectorInputs, 'address' | 'jwt'>;

const bytes = (base64: string): Buffer => Buffer.from(base64, 'base64');

/** What the library makes of a case: a SPIFFE ID as text, a rule's answer, or it throws. */
const JUDGE: { [K in Kind]: (input: VectorInputs[K]) => unknown } = {
  id: ({ text }) => SpiffeId.parse(text).toString(),
  build: ({ trustDomain, segments }) => SpiffeId.of(trustDomain, ...segments).toString(),
  rule: ({ rule, text }) => {
    const any = (rule as { any?: unknown } | null)?.any === true;
    return parsePeerRule(any ? ANY_SPIFFE_ID : (rule as PeerRule))(SpiffeId.parse(text));
  },
  x509: ({ chain, bundles }) => {
    // One case has a bundle under a name too long for a trust domain; the leaf must be refused for itself.
    const legal = Object.entries(bundles).filter(([domain]) => domain.length <= 255);
    const all = legal.map(([domain, authorities]) =>
      X509Bundle.fromDer(domain, Buffer.concat(authorities.map(bytes))),
    );
    const options = { now: VECTORS_NOW };
    return verifyX509Svid(chain.map(bytes), X509Bundles.of(...all), options).id.toString();
  },
  x509bundle: ({ trustDomain, certs }) => X509Bundle.fromDer(trustDomain, bytes(certs)),
};

/** How many cases the file holds of each kind (a loader that finds none must not pass), and how each may be refused. */
const EXPECTED: { readonly [K in Kind]: { count: number; codes: readonly SpiffeErrorCode[] } } = {
  id: { count: 62, codes: ['ERR_SPIFFE_ID_INVALID'] },
  build: { count: 5, codes: ['ERR_SPIFFE_ID_INVALID'] },
  rule: { count: 23, codes: ['ERR_SPIFFE_PEER_RULE_INVALID'] },
  x509: {
    count: 91,
    codes: [
      'ERR_SPIFFE_X509_SVID_INVALID',
      'ERR_SPIFFE_BUNDLE_NOT_FOUND',
      'ERR_SPIFFE_X509_EXPIRED',
      'ERR_SPIFFE_X509_UNTRUSTED',
    ],
  },
  x509bundle: { count: 4, codes: ['ERR_SPIFFE_X509_BUNDLE_INVALID'] },
};

function judgeAll<K extends Kind>(kind: K, judge: (input: VectorInputs[K]) => unknown): void {
  const { count, codes } = EXPECTED[kind];
  const vectors = vectorsOf(kind);

  describe(`vectors of kind ${kind}`, () => {
    it(`are ${count}`, () => {
      expect(vectors).to.have.lengthOf(count);
    });

    for (const vector of vectors) {
      it(`${vector.expect}s ${vector.id} (${vector.why})`, () => {
        let outcome: unknown;
        try {
          outcome = judge(vector);
        } catch (error) {
          if (!(error instanceof SpiffeError)) throw error;
          expect(vector.expect, error.message).to.equal('reject');
          expect(codes).to.include(error.code);
          return;
        }
        if (vector.expect === 'reject') {
          // Only a rule refuses without throwing, and only where it is not the rule that is at fault.
          expect(kind).to.equal('rule');
          expect(vector.callerFault).to.equal(undefined);
          expect(outcome).to.equal(false);
        } else if (kind === 'rule') expect(outcome).to.equal(true);
        else expect(outcome).to.equal(vector.identity);
      });
    }
  });
}

judgeAll('id', JUDGE.id);
judgeAll('build', JUDGE.build);
judgeAll('rule', JUDGE.rule);
judgeAll('x509', JUDGE.x509);
judgeAll('x509bundle', JUDGE.x509bundle);
