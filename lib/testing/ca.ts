import { createPublicKey, type KeyObject } from 'node:crypto';
import { JwtBundle } from '../identity/jwt/bundle.js';
import { JwtSvid } from '../identity/jwt/svid.js';
import type { SpiffeId } from '../identity/spiffe-id.js';
import { TrustDomain } from '../identity/trust-domain.js';
import { X509Bundle } from '../identity/x509/bundle.js';
import { X509Svid } from '../identity/x509/svid.js';
import { type Authority, createAuthority, leafFields } from './authority.js';
import { checkAudience, checkClaims, checkSubject, checkTtl, readRequest } from './ca-input.js';
import { writeCertificate } from './certificate.js';
import { JwtAuthority, type JwtSigningAlgorithm } from './jwt-authority.js';
import { type KeyType, makeKey } from './keys.js';

/** Options of {@link TestCa.create}. */
export interface TestCaOptions {
  /** What time it is. Default: the wall clock. */
  readonly now?: () => Date;
  /** Life of an SVID in milliseconds, counted from now; from 1000 to 182 days, cut to whole seconds. Default: one hour. */
  readonly ttlMs?: number;
  /** Kind of every key pair, the authority's and the workloads'. Default: `ec-p256`. */
  readonly keyType?: KeyType;
  /** Issues through an intermediate CA, which stands behind the leaf in each SVID. Default: `false`. */
  readonly intermediate?: boolean;
  /** Life of a JWT-SVID in milliseconds, as `ttlMs`. Default: that of an X.509-SVID, five minutes at most (JWT-SVID 3.3). */
  readonly jwtTtlMs?: number;
  /** With what JWT-SVIDs are signed. Default: `ES256`. */
  readonly jwtAlgorithm?: JwtSigningAlgorithm;
}

/** Options of one JWT-SVID. */
export interface IssueJwtOptions {
  /** Whom it is for: one name, or several. At least one, none of them empty. */
  readonly audience: string | readonly string[];
  /** Life in milliseconds; default: that of the CA. */
  readonly ttlMs?: number;
  /** Further claims; `sub`, `aud`, `exp` and `iat` are none of these. Default: none. */
  readonly claims?: Readonly<Record<string, unknown>>;
}

/** Options of one SVID. */
export interface IssueOptions {
  /** Life in milliseconds; default: that of the CA. */
  readonly ttlMs?: number;
  /** DNS names to put beside the SPIFFE ID; the first is the subject's common name. Default: none. */
  readonly dnsNames?: readonly string[];
}

/** An X.509-SVID as the Workload API carries it. Its key is reached by name alone: nothing that prints shows it. */
export class IssuedSvid {
  /** Concatenated DER, leaf first, then the intermediate if there is one. */
  readonly certificates: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly #key: Uint8Array;

  /** @internal */
  constructor(certificates: Uint8Array, key: Uint8Array, notBefore: Date, notAfter: Date) {
    this.certificates = certificates;
    this.notBefore = notBefore;
    this.notAfter = notAfter;
    this.#key = key;
  }

  /** The private key: PKCS#8 DER, unencrypted. */
  get key(): Uint8Array {
    return this.#key;
  }
}

/** A leaf, the intermediate behind it if there is one, and while the leaf is valid. */
interface Issued {
  readonly chain: readonly Uint8Array[];
  readonly notBefore: Date;
  readonly notAfter: Date;
}

interface Issuer {
  readonly root: Authority;
  readonly signer: Authority;
}

const HOUR_MS = 3600_000;
const LONGEST_DEFAULT_JWT_TTL_MS = 300_000;

/**
 * The signing authority of one trust domain, for development and tests: its keys are made in memory and die with the
 * process. What it issues keeps the rules that X509-SVID sets for issuers.
 */
export class TestCa {
  readonly trustDomain: TrustDomain;
  readonly #options: Required<TestCaOptions>;
  #issuer: Issuer;
  #authorities: readonly Authority[];
  /** Newest first; made on first use. */
  #jwtAuthorities: readonly [JwtAuthority, ...JwtAuthority[]] | undefined;

  private constructor(trustDomain: TrustDomain, options: Required<TestCaOptions>) {
    this.trustDomain = trustDomain;
    this.#options = options;
    this.#issuer = this.#createIssuer();
    this.#authorities = [this.#issuer.root];
  }

  /** @throws SpiffeError `ERR_SPIFFE_TRUST_DOMAIN_INVALID`, or `ERR_SPIFFE_OPTION_INVALID` for a life out of bounds. */
  static create(trustDomain: TrustDomain | string, options: TestCaOptions = {}): TestCa {
    return new TestCa(TrustDomain.parse(trustDomain), {
      now: options.now ?? (() => new Date()),
      ttlMs: checkTtl(options.ttlMs ?? HOUR_MS),
      keyType: options.keyType ?? 'ec-p256',
      intermediate: options.intermediate ?? false,
      jwtTtlMs: checkTtl(
        options.jwtTtlMs ?? Math.min(options.ttlMs ?? HOUR_MS, LONGEST_DEFAULT_JWT_TTL_MS),
      ),
      jwtAlgorithm: options.jwtAlgorithm ?? 'ES256',
    });
  }

  /** The bundle of this trust domain as it is now: the authorities, newest first. */
  get bundle(): X509Bundle {
    return X509Bundle.fromDer(this.trustDomain, this.bundleDer);
  }

  /** The same as the Workload API carries it: concatenated DER. */
  get bundleDer(): Uint8Array {
    return Buffer.concat(this.#authorities.map(({ certificate }) => certificate));
  }

  /** Life of a JWT-SVID in milliseconds, unless asked for otherwise. */
  get jwtTtlMs(): number {
    return this.#options.jwtTtlMs;
  }

  /** The JWT bundle of this trust domain as it is now: the keys, newest first. */
  get jwtBundle(): JwtBundle {
    return JwtBundle.parse(this.trustDomain, this.jwtBundleJson);
  }

  /** The same as the Workload API carries it: a JWK set in UTF-8. */
  get jwtBundleJson(): Uint8Array {
    return Buffer.from(JSON.stringify({ keys: this.#jwtKeys.map(({ jwk }) => jwk) }));
  }

  /** What signs at present, with its private key: the intermediate if there is one, else the root. */
  get authority(): Authority {
    return this.#issuer.signer;
  }

  /**
   * Issues an SVID. The key pair is made in it.
   *
   * @throws SpiffeError as {@link TestCa.issueDer} does.
   */
  issue(id: SpiffeId | string, options: IssueOptions & { readonly hint?: string } = {}): X509Svid {
    const { certificates, key } = this.issueDer(id, options);
    return X509Svid.fromDer(certificates, key, { hint: options.hint ?? '' });
  }

  /**
   * Issues an SVID as bytes. The key pair is made in it.
   *
   * @throws SpiffeError `ERR_SPIFFE_ID_INVALID`, or `ERR_SPIFFE_OPTION_INVALID` when the ID lies in another trust
   * domain, has no path (X509-SVID 3.1), or the life is out of bounds.
   */
  issueDer(id: SpiffeId | string, options: IssueOptions = {}): IssuedSvid {
    const key = makeKey(this.#options.keyType);
    const { chain, notBefore, notAfter } = this.#issue(id, createPublicKey(key), options);
    const pkcs8 = key.export({ type: 'pkcs8', format: 'der' });
    return new IssuedSvid(Buffer.concat(chain), pkcs8, notBefore, notAfter);
  }

  /**
   * Issues an SVID for the key and the ID of a PKCS#10 request, whoever it is from: DER certificates, the leaf first.
   *
   * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` when the request asks for more than one ID, or is signed by another
   * key than the one it holds; and as {@link TestCa.issueDer} does.
   */
  mint(csr: Uint8Array, options: { readonly ttlMs?: number } = {}): readonly Uint8Array[] {
    const { uri, publicKey } = readRequest(csr);
    return this.#issue(uri, publicKey, options).chain;
  }

  /**
   * Issues a JWT-SVID.
   *
   * @throws SpiffeError `ERR_SPIFFE_ID_INVALID`, or `ERR_SPIFFE_OPTION_INVALID` when there is no audience, a claim is
   * one that the CA sets, the ID lies in another trust domain or has no path, or the life is out of bounds.
   */
  async issueJwt(id: SpiffeId | string, options: IssueJwtOptions): Promise<JwtSvid> {
    const subject = checkSubject(id, this.trustDomain);
    const { claims = {}, ttlMs = this.jwtTtlMs } = options;
    const now = this.#options.now().getTime();
    const token = await this.#jwtKeys[0].sign({
      id: subject,
      audience: checkAudience(options.audience),
      issuedAt: Math.floor(now / 1000),
      expires: Math.floor((now + checkTtl(ttlMs)) / 1000),
      claims: checkClaims(claims),
    });
    return JwtSvid.parseUnverified(token);
  }

  /**
   * Makes a new key for JWT-SVIDs, which signs from now on. The old ones stay in the bundle, so that what they signed
   * is still believed, unless `keepOld` is `false`. X.509 authorities are not touched.
   */
  rotateJwtKey(options: { readonly keepOld?: boolean } = {}): void {
    const old = (options.keepOld ?? true) ? this.#jwtKeys : [];
    this.#jwtAuthorities = [new JwtAuthority(this.#options.jwtAlgorithm), ...old];
  }

  /**
   * Makes a new authority, which signs from now on. The old ones stay in the bundle until they expire, so that what
   * they signed is still believed, unless `keepOld` is `false`.
   */
  rotate(options: { readonly keepOld?: boolean } = {}): void {
    this.#issuer = this.#createIssuer();
    const now = this.#options.now();
    const old = (options.keepOld ?? true) ? this.#authorities : [];
    this.#authorities = [this.#issuer.root, ...old.filter(({ notAfter }) => notAfter > now)];
  }

  #issue(id: SpiffeId | string, publicKey: KeyObject, options: IssueOptions): Issued {
    const subject = checkSubject(id, this.trustDomain);
    const { signer, root } = this.#issuer;
    const fields = leafFields(signer, {
      id: subject,
      publicKey,
      now: this.#options.now(),
      ttlMs: options.ttlMs === undefined ? this.#options.ttlMs : checkTtl(options.ttlMs),
      dnsNames: options.dnsNames ?? [],
    });
    const leaf = writeCertificate(fields);
    const { notBefore, notAfter } = fields;
    return { chain: signer === root ? [leaf] : [leaf, signer.certificate], notBefore, notAfter };
  }

  get #jwtKeys(): readonly [JwtAuthority, ...JwtAuthority[]] {
    this.#jwtAuthorities ??= [new JwtAuthority(this.#options.jwtAlgorithm)];
    return this.#jwtAuthorities;
  }

  #createIssuer(): Issuer {
    const { keyType, intermediate } = this.#options;
    const now = this.#options.now();
    const root = createAuthority(this.trustDomain, { now, keyType });
    const signer = intermediate
      ? createAuthority(this.trustDomain, { now, keyType, issuer: root })
      : root;
    return { root, signer };
  }
}
