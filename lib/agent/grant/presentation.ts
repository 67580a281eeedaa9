import { MAX_CHAIN_LENGTH } from '../../identity/x509/verify.js';
import { isJsonObject, type JsonObject, member } from '../../internal/json.js';
import { demand, GrantError } from './grant-error.js';

/** What travels beside one call. */
export interface GrantPresentation {
  /** The tokens, root first, leaf last. */
  readonly chain: readonly string[];
  /** The proof of possession, for this one call. */
  readonly proof: string;
  /** The DER chain of the X.509-SVID that signed the root, leaf first. */
  readonly issuer: readonly Uint8Array[];
}

/** Under which name a presentation stands in the `_meta` of an MCP request. */
export const GRANT_META_KEY = 'agent-spiffe/grant';
/** The pair of HTTP headers that carries a presentation. */
export const GRANT_HEADER = 'spiffe-grant';
export const GRANT_PROOF_HEADER = 'spiffe-grant-proof';
/** How many bytes the values of both headers may have together; servers commonly take 16 KiB of headers in all. */
export const GRANT_HEADERS_BYTES = 12_288;

const STEP = 'presentation';
/** Characters of base64 of all certificates together. */
const LONGEST_ISSUER = 65_536;

/** The JSON form of a presentation: a body, or what stands under {@link GRANT_META_KEY}. */
export interface GrantPresentationJson {
  readonly aat_chain: readonly string[];
  readonly aat_pop: string;
  readonly spiffe_x5c: readonly string[];
}

/** Writes the JSON form. */
export function presentationToJson({
  chain,
  proof,
  issuer,
}: GrantPresentation): GrantPresentationJson {
  return { aat_chain: [...chain], aat_pop: proof, spiffe_x5c: issuer.map(base64Of) };
}

/**
 * Reads the JSON form; members that are not known are ignored.
 *
 * @throws GrantError with the step `presentation`.
 */
export function presentationFromJson(json: unknown): GrantPresentation {
  const { chain, issuer } = grantFromJson(json);
  const proof = member(json as JsonObject, 'aat_pop');
  demand(typeof proof === 'string', STEP, 'its aat_pop is no text');
  return { chain, proof, issuer };
}

/** A grant as it is handed to whoever is to hold it: its proofs are still to be made. */
export type GrantChain = Omit<GrantPresentation, 'proof'>;

/** The JSON form of a grant that is handed on. */
export type GrantChainJson = Omit<GrantPresentationJson, 'aat_pop'>;

/** Writes a grant that is handed on. */
export function grantToJson({ chain, issuer }: GrantChain): GrantChainJson {
  return { aat_chain: [...chain], spiffe_x5c: issuer.map(base64Of) };
}

/**
 * Reads a grant that was handed on; members that are not known are ignored.
 *
 * @throws GrantError with the step `presentation`.
 */
export function grantFromJson(json: unknown): GrantChain {
  demand(isJsonObject(json), STEP, 'it is no JSON object');
  return {
    chain: textsOf(member(json, 'aat_chain'), 'aat_chain'),
    issuer: readIssuerChain(textsOf(member(json, 'spiffe_x5c'), 'spiffe_x5c')),
  };
}

/**
 * Writes the pair of headers.
 *
 * @throws GrantError with the step `presentation` when both are longer than {@link GRANT_HEADERS_BYTES}: send it in the body.
 */
export function presentationToHeaders({
  chain,
  proof,
  issuer,
}: GrantPresentation): Record<typeof GRANT_HEADER | typeof GRANT_PROOF_HEADER, string> {
  const grant = `${chain.join(',')};${issuer.map(base64Of).join(',')}`;
  checkHeaders(grant, proof);
  return { [GRANT_HEADER]: grant, [GRANT_PROOF_HEADER]: proof };
}

/**
 * Reads the pair of headers, as the one value that each has.
 *
 * @throws GrantError with the step `presentation`.
 */
export function presentationFromHeaders(grant: unknown, proof: unknown): GrantPresentation {
  demand(
    typeof grant === 'string' && typeof proof === 'string',
    STEP,
    `it has no ${GRANT_HEADER} with its ${GRANT_PROOF_HEADER}`,
  );
  checkHeaders(grant, proof);
  const [chain = '', certificates, ...more] = grant.split(';');
  demand(
    certificates !== undefined && more.length === 0,
    STEP,
    `its ${GRANT_HEADER} is not tokens; certificates`,
  );
  return { chain: chain.split(','), proof, issuer: readIssuerChain(certificates.split(',')) };
}

function checkHeaders(grant: string, proof: string): void {
  demand(
    grant.length + proof.length <= GRANT_HEADERS_BYTES,
    STEP,
    `its headers are longer than ${GRANT_HEADERS_BYTES} bytes, so it has to travel in the body`,
  );
}

function textsOf(value: unknown, name: string): readonly string[] {
  const isTexts = Array.isArray(value) && value.every((item) => typeof item === 'string');
  demand(isTexts, STEP, `its ${name} is no array of texts`);
  return value;
}

/** The certificates of an issuer, as base64 has them. */
export function readIssuerChain(texts: readonly string[]): readonly Uint8Array[] {
  const total = texts.reduce((sum, { length }) => sum + length, 0);
  demand(
    texts.length > 0 && texts.length <= MAX_CHAIN_LENGTH && total <= LONGEST_ISSUER,
    STEP,
    `its issuer has no certificate, more than ${MAX_CHAIN_LENGTH}, or more than ${LONGEST_ISSUER} characters of them`,
  );
  return texts.map((text) => {
    const der = Buffer.from(text, 'base64');
    if (der.length === 0 || base64Of(der) !== text)
      throw new GrantError(STEP, 'a certificate of its issuer is not base64');
    return der;
  });
}

function base64Of(der: Uint8Array): string {
  return Buffer.from(der.buffer, der.byteOffset, der.byteLength).toString('base64');
}
