/** The three parts of node-forge's ASN.1 module that the certificate writer uses. Bytes are latin1 strings. */
declare module 'node-forge/lib/asn1.js' {
  interface Bytes {
    getBytes(): string;
  }
  const asn1: {
    create(tagClass: number, type: number, constructed: boolean, value: string): object;
    toDer(node: object): Bytes;
    oidToDer(oid: string): Bytes;
  };
  export default asn1;
}
