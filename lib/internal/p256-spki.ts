/** What the SubjectPublicKeyInfo of a P-256 key begins with, in hex: all but the two coordinates of its point (RFC 5480 §2). */
export const P256_SPKI_HEAD = '3059301306072a8648ce3d020106082a8648ce3d03010703420004';
/** Bytes of a coordinate. */
export const P256_COORDINATE = 32;
