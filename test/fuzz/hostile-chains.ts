import { createPublicKey } from 'node:crypto';
import { TrustDomain } from 'agent-spiffe';
import { type Authority, createAuthority, leafFields } from '#lib/testing/authority.js';
import { distinguishedName, writeCertificate } from '#lib/testing/certificate.js';
import { bitString, integer, nothing, objectIdentifier, sequence } from '#lib/testing/der.js';
import { type KeyType, makeKey } from '#lib/testing/keys.js';

const ID = 'spiffe://example.org/workload';
const DOMAIN = TrustDomain.parse('example.org');
/** The leaf makes it sixteen, the longest chain that is looked at. */
const OTHERS = 15;

/** Chains that lead nowhere, made to cost as much as a stranger can make them cost. */
export function hostileChains(): readonly (readonly Uint8Array[])[] {
  return [
    web('ec-p256'),
    web('ec-p384'),
    web('ec-p521'),
    web('rsa-2048'),
    namesakes(rsaKey(8192, 65_537n)),
    namesakes(rsaKey(8192, 2n ** 63n + 1n)),
    namesakes(rsaKey(3072, 2n ** 3000n + 1n)),
  ];
}

/** All have one name and one key, so each has issued each. */
function web(type: KeyType): readonly Uint8Array[] {
  const now = new Date();
  const one = createAuthority(DOMAIN, { now, keyType: type });
  const others = Array.from({ length: OTHERS }, () =>
    createAuthority(DOMAIN, {
      now,
      keyType: 'ec-p256',
      issuer: one,
      change: (fields) => ({
        ...fields,
        subject: one.name,
        publicKey: createPublicKey(one.key),
      }),
    }),
  );
  return [leafOf(one), ...others.map(({ certificate }) => certificate)];
}

/** All have the name of the leaf's issuer and this key, which has signed nothing. */
function namesakes(key: Uint8Array): readonly Uint8Array[] {
  const now = new Date();
  const signer = createAuthority(DOMAIN, { now, keyType: 'rsa-2048' });
  const name = distinguishedName({ commonName: 'a name' });
  const others = Array.from({ length: OTHERS }, () =>
    createAuthority(DOMAIN, {
      now,
      keyType: 'ec-p256',
      issuer: { ...signer, name },
      change: (fields) => ({ ...fields, subject: name, publicKey: key }),
    }),
  );
  return [leafOf({ ...signer, name }), ...others.map(({ certificate }) => certificate)];
}

function leafOf(issuer: Authority): Uint8Array {
  const publicKey = createPublicKey(makeKey('ec-p256'));
  return writeCertificate(
    leafFields(issuer, { id: ID, publicKey, now: new Date(), ttlMs: 3600_000 }),
  );
}

/** A SubjectPublicKeyInfo with a modulus that is none: nobody needs its factors to have it looked at. */
function rsaKey(bits: number, exponent: bigint): Uint8Array {
  const modulus = 2n ** BigInt(bits) - 159n;
  return sequence(
    sequence(objectIdentifier('1.2.840.113549.1.1.1'), nothing()),
    bitString(sequence(integer(modulus), integer(exponent))),
  );
}
