import type { KeyObject } from 'node:crypto';
import { createHash } from 'node:crypto';
import { TrustDomain, verifyX509Svid, X509Bundle, X509Bundles, X509Svid } from 'agent-spiffe';
import { writePem } from '#lib/internal/pem.js';
import { type CertificateFields, writeCertificate } from '#lib/testing/certificate.js';
import { NOW } from '../chain.js';
import { mutateBytes } from './bytes.js';
import { base64, type Case, said } from './case.js';
import { CERTIFICATE_CHANGES } from './certificate-changes.js';
import {
  caFields,
  type Keys,
  leafFieldsOf,
  makeKeys,
  type Signer,
  signerOf,
} from './certificates.js';
import { mutateDer } from './der.js';
import type { Random } from './random.js';
import { mutateText } from './text.js';

const CHANGES = Object.entries(CERTIFICATE_CHANGES);
const DOMAIN = TrustDomain.parse('example.org');
const PEM_PARTS = [
  '-----BEGIN CERTIFICATE-----\n',
  '-----END CERTIFICATE-----\n',
  '-----BEGIN PRIVATE KEY-----\n',
  '-----',
  '\n',
  '\r\n',
  ' ',
  '=',
  '==',
  'A',
  'text\n',
  'Proc-Type: 4,ENCRYPTED\n',
  '\u0000',
];

/** Good and bad chains, SVIDs and bundles, each a few changes away from a good one. */
export class ChainMaker {
  readonly #random: Random;
  readonly #keys: Keys;

  constructor(random: Random) {
    this.#random = random;
    this.#keys = makeKeys(random);
  }

  /** A chain and the bundle that it is judged by. */
  chain(): Case {
    const random = this.#random;
    const made: string[] = [];
    const { leaf, between, root } = this.#certificates(made);
    let chain = [leaf, ...between];
    let anchors = [root];
    if (random.oneIn(6)) ({ chain, anchors } = this.#shuffled(chain, anchors, made));
    const domain = random.oneIn(40) ? 'other.org' : 'example.org';
    if (domain !== 'example.org') made.push('the bundle of another');
    let bundle: X509Bundle | undefined;
    return {
      kind: 'x509',
      made,
      question: {
        kind: 'x509',
        chain: chain.map(base64),
        bundles: { [domain]: base64(Buffer.concat(anchors)) },
        now: NOW.toISOString(),
      },
      ours: () =>
        said(() => {
          bundle ??= X509Bundle.fromDer(domain, Buffer.concat(anchors));
          const { id } = verifyX509Svid(chain, X509Bundles.of(bundle), { now: NOW });
          return { id: id.toString() };
        }),
    };
  }

  /** An SVID with its key, as the Workload API gives it. */
  svid(): Case {
    const random = this.#random;
    const made: string[] = [];
    const { leaf, between, key } = this.#certificates(made);
    let certificates: Buffer = Buffer.concat([leaf, ...between]);
    let pkcs8: Buffer = key.export({ type: 'pkcs8', format: 'der' });
    if (random.oneIn(5)) {
      certificates = mutateBytes(random, certificates);
      made.push('mutated bytes');
    }
    if (random.oneIn(4)) {
      pkcs8 = random.oneIn(2) ? mutateDer(random, pkcs8) : mutateBytes(random, pkcs8);
      made.push('a mutated key');
    } else if (random.oneIn(8)) {
      pkcs8 = random
        .pick([...this.#keys.other, ...this.#keys.odd])
        .export({ type: 'pkcs8', format: 'der' });
      made.push('the key of another');
    }
    return {
      kind: 'svid',
      made,
      question: {
        kind: 'svid',
        data: base64(certificates),
        key: base64(pkcs8),
      },
      ours: () => said(() => ({ id: X509Svid.fromDer(certificates, pkcs8).id.toString() })),
    };
  }

  /** Authorities one after another, as DER or as PEM. */
  bundle(kind: 'x509bundle' | 'pem'): Case {
    const random = this.#random;
    const made: string[] = [];
    const list = Array.from(
      { length: random.int(3) + (kind === 'pem' ? 1 : 0) },
      () => this.#certificates(made).root,
    );
    let data: Buffer =
      kind === 'pem'
        ? Buffer.from(list.map((der) => writePem(der, 'CERTIFICATE')).join(''))
        : Buffer.concat(list);
    if (random.oneIn(2)) {
      made.push('mutated as a whole');
      data =
        kind === 'pem' && random.oneIn(2)
          ? Buffer.from(mutateText(random, data.toString('latin1'), PEM_PARTS), 'latin1')
          : mutateBytes(random, data);
    }
    return {
      kind,
      made,
      question: {
        kind,
        trustDomain: DOMAIN.name,
        data: base64(data),
      },
      ours: () =>
        said(() => {
          const bundle =
            kind === 'pem' ? X509Bundle.fromPem(DOMAIN, data) : X509Bundle.fromDer(DOMAIN, data);
          return {
            items: bundle.authorities.map((der) => createHash('sha256').update(der).digest('hex')),
          };
        }),
    };
  }

  /** A root, up to two between, and a leaf below; each may be changed before it is signed, or after. */
  #certificates(made: string[]) {
    const random = this.#random;
    const depth = random.pick([0, 0, 1, 1, 2]);
    const keys = random.shuffle(this.#keys.usual);
    const key = random.oneIn(8) ? random.pick(this.#keys.other) : (keys[3] as KeyObject);
    const changed = random.pick([
      'nothing',
      'the leaf',
      'the leaf',
      'the leaf',
      'one above',
      'all',
    ]);
    const rootKey = keys[0] as KeyObject;
    const rootFields = this.#changed(
      caFields(random, rootKey),
      changed === 'all' || (changed === 'one above' && random.oneIn(2)),
      'root',
      made,
    );
    let signer: Signer = signerOf(rootFields, rootKey);
    const between: Uint8Array[] = [];
    for (let at = 1; at <= depth; at++) {
      const own = keys[at] as KeyObject;
      const fields = this.#changed(
        caFields(random, own, signer),
        changed === 'all' || changed === 'one above',
        `issuer ${at}`,
        made,
      );
      between.unshift(this.#written(fields, changed !== 'nothing', made));
      signer = signerOf(fields, own);
    }
    const leafFields = this.#changed(
      leafFieldsOf(random, key, signer, 'spiffe://example.org/workload'),
      changed === 'all' || changed === 'the leaf',
      'leaf',
      made,
    );
    return {
      key,
      leaf: this.#written(leafFields, changed !== 'nothing', made),
      between,
      root: this.#written(rootFields, false, made),
    };
  }

  #changed(
    fields: CertificateFields,
    wanted: boolean,
    which: string,
    made: string[],
  ): CertificateFields {
    if (!wanted) return fields;
    let result = fields;
    for (let i = this.#random.pick([1, 1, 1, 2, 3]); i > 0; i--) {
      const [name, make] = this.#random.pick(CHANGES);
      made.push(`${which}: ${name}`);
      result = make(this.#random, this.#keys)(result);
    }
    return result;
  }

  #written(fields: CertificateFields, mayMutate: boolean, made: string[]): Uint8Array {
    const der = writeCertificate(fields);
    if (!mayMutate || !this.#random.oneIn(16)) return der;
    made.push('mutated after it was signed');
    return this.#random.oneIn(2) ? mutateDer(this.#random, der) : mutateBytes(this.#random, der);
  }

  #shuffled(chain: Uint8Array[], anchors: Uint8Array[], made: string[]) {
    const random = this.#random;
    const [leaf, ...above] = chain as [Uint8Array, ...Uint8Array[]];
    const root = anchors[0] as Uint8Array;
    const kind = random.pick([
      'others in another order',
      'the root appended',
      'one missing',
      'the leaf twice',
      'leaf last',
      'one between as an anchor',
      'the leaf as an anchor',
      'no anchor',
      'one more anchor',
      'nothing',
    ]);
    made.push(kind);
    switch (kind) {
      case 'others in another order':
        return { chain: [leaf, ...random.shuffle([...above, root])], anchors };
      case 'the root appended':
        return { chain: [...chain, root], anchors };
      case 'one missing':
        return { chain: chain.toSpliced(random.int(chain.length), 1), anchors };
      case 'the leaf twice':
        return { chain: [leaf, ...chain], anchors };
      case 'leaf last':
        return { chain: [...above, leaf], anchors };
      case 'one between as an anchor':
        return { chain, anchors: [random.pick(above.length > 0 ? above : [root])] };
      case 'the leaf as an anchor':
        return { chain, anchors: [leaf] };
      case 'no anchor':
        return { chain, anchors: [] };
      case 'one more anchor':
        return { chain, anchors: random.shuffle([...anchors, ...above]) };
      default:
        return { chain: [], anchors };
    }
  }
}
