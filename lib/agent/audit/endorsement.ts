import { constants, type KeyObject, sign, verify } from 'node:crypto';
import { Certificate } from '../../identity/x509/certificate.js';
import { leafId } from '../../identity/x509/leaf.js';
import type { X509Svid } from '../../identity/x509/svid.js';
import { isJsonObject, type JsonObject, member } from '../../internal/json.js';
import { decodeBase64, VerifierKey } from './note.js';

/** Which log key, in which log, from which record on. */
export interface EndorsedKey {
  readonly origin: string;
  /** The index of the record that holds the endorsement. */
  readonly index: number;
  readonly key: VerifierKey;
}

/** A statement, signed by the key of an X.509-SVID, that a log key speaks for its SPIFFE ID; as it stands in a record. */
export interface Endorsement {
  /** How `signature` was made. */
  readonly algorithm: string;
  /** The log key, as a verifier key of C2SP signed-note. */
  readonly key: string;
  readonly origin: string;
  /** Standard base64. */
  readonly signature: string;
  /** The certificates, leaf first: DER in standard base64. */
  readonly svid: readonly string[];
}

/** An endorsement whose signature holds. Whether its SVID is to be trusted is still to be decided. */
export interface VerifiedEndorsement extends EndorsedKey {
  /** The SPIFFE ID of the SVID. */
  readonly id: string;
  /** The certificates, leaf first: DER. */
  readonly svid: readonly Uint8Array[];
}

interface SignatureScheme {
  readonly name: string;
  readonly digest: 'sha256' | 'sha384' | 'sha512';
  readonly padding?: { readonly padding: number; readonly saltLength: number };
}

const PSS = {
  padding: constants.RSA_PKCS1_PSS_PADDING,
  saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
};
const CURVES: ReadonlyMap<string | undefined, SignatureScheme> = new Map([
  ['prime256v1', { name: 'ECDSA-P256-SHA256', digest: 'sha256' }],
  ['secp384r1', { name: 'ECDSA-P384-SHA384', digest: 'sha384' }],
  ['secp521r1', { name: 'ECDSA-P521-SHA512', digest: 'sha512' }],
]);

/** The one scheme for a key of an SVID, so that nothing about it is the record's to choose. */
function schemeOf(key: KeyObject): SignatureScheme | undefined {
  if (key.asymmetricKeyType === 'rsa') return { name: 'RSASSA-PKCS1-SHA256', digest: 'sha256' };
  if (key.asymmetricKeyType === 'rsa-pss')
    return { name: 'RSASSA-PSS-SHA256', digest: 'sha256', padding: PSS };
  return CURVES.get(key.asymmetricKeyDetails?.namedCurve);
}

/** What is signed. Its first line keeps it apart from all else that the key signs. */
export function endorsementStatement({ origin, index, key }: EndorsedKey): string {
  return `agent-spiffe audit log key v1\n${origin}\n${index}\n${key.text}\n`;
}

/** Endorses a log key by the SVID in use; members in the order of canonical JSON. */
export function endorse(svid: X509Svid, endorsed: EndorsedKey): Endorsement {
  const scheme = schemeOf(svid.privateKey) as SignatureScheme;
  const statement = Buffer.from(endorsementStatement(endorsed));
  const input = { key: svid.privateKey, ...scheme.padding };
  return {
    algorithm: scheme.name,
    key: endorsed.key.text,
    origin: endorsed.origin,
    signature: sign(scheme.digest, statement, input).toString('base64'),
    svid: svid.certificates.map((certificate) => Buffer.from(certificate).toString('base64')),
  };
}

/**
 * Reads the endorsement that a record at `index` holds and verifies its signature by the leaf that comes with it.
 *
 * @returns what is wrong with it, in words, unless it holds.
 */
export function verifyEndorsement(value: unknown, index: number): VerifiedEndorsement | string {
  if (!isJsonObject(value)) return 'it holds no endorsement';
  const origin = member(value, 'origin');
  const key = VerifierKey.parse(textMember(value, 'key'));
  const signature = decodeBase64(textMember(value, 'signature'));
  const svid = readChain(member(value, 'svid'));
  if (
    typeof origin !== 'string' ||
    key === undefined ||
    signature === undefined ||
    svid === undefined
  )
    return 'its origin, key, signature or SVID is malformed';
  if (key.name !== origin) return 'its key is named otherwise than the log';
  try {
    const leaf = Certificate.decode(svid[0] as Uint8Array);
    const id = leafId(leaf).toString();
    const { publicKey } = leaf;
    const scheme = schemeOf(publicKey);
    const statement = Buffer.from(endorsementStatement({ origin, index, key }));
    if (scheme === undefined || scheme.name !== member(value, 'algorithm'))
      return 'its algorithm is not the one for the key of its SVID';
    if (!verify(scheme.digest, statement, { key: publicKey, ...scheme.padding }, signature))
      return `its signature is not by the key of the SVID of ${id}, or is for another log, place or key`;
    return { origin, index, key, id, svid };
  } catch (cause) {
    return `its SVID cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`;
  }
}

function readChain(value: unknown): readonly Uint8Array[] | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const chain = value.map((text) => (typeof text === 'string' ? decodeBase64(text) : undefined));
  return chain.every((certificate) => certificate !== undefined) ? chain : undefined;
}

function textMember(object: JsonObject, name: string): string {
  const value = member(object, name);
  return typeof value === 'string' ? value : '';
}
