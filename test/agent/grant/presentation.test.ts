import { expect } from 'chai';
import {
  GRANT_HEADER,
  GRANT_PROOF_HEADER,
  presentationFromHeaders,
  presentationFromJson,
  presentationToHeaders,
  presentationToJson,
} from '#lib/agent/grant/presentation.js';
import { expectStep, GrantWorld } from '../../support/grants.js';

const world = new GrantWorld({ intermediate: true });
const presentation = world.present(world.chain());
const bytesOf = (ders: readonly Uint8Array[]): readonly string[] =>
  ders.map((der) => Buffer.from(der).toString('hex'));

describe('the presentation of a grant', () => {
  it('comes out of its JSON form as it went in, whatever else stands beside', () => {
    const json = JSON.parse(JSON.stringify(presentationToJson(presentation))) as object;
    const read = presentationFromJson({ ...json, other: 1 });
    expect(read.chain).to.deep.equal(presentation.chain);
    expect(read.proof).to.equal(presentation.proof);
    expect(bytesOf(read.issuer)).to.deep.equal(bytesOf(presentation.issuer));
    world.verify(read);
  });

  it('comes out of its headers as it went in, with a chain of three in less than half of the room', () => {
    const headers = presentationToHeaders(presentation);
    const { [GRANT_HEADER]: grant, [GRANT_PROOF_HEADER]: proof } = headers;
    expect(grant.length + proof.length).to.be.lessThan(6144);
    expect(`${grant}${proof}`).to.match(/^[!-~]+$/);
    const read = presentationFromHeaders(grant, proof);
    expect(read.chain).to.deep.equal(presentation.chain);
    expect(bytesOf(read.issuer)).to.deep.equal(bytesOf(presentation.issuer));
    world.verify(read, { tool: 'send', replay: new GrantWorld().replay });
  });

  it('is refused in headers when it is longer than 12,288 bytes, by whoever writes and by whoever reads', () => {
    const { proof } = presentation;
    const long = { ...presentation, chain: ['A'.repeat(12_288)] };
    expectStep('presentation', () => presentationToHeaders(long));
    const most = 12_288 - proof.length;
    const grant = presentationToHeaders(presentation)[GRANT_HEADER];
    expectStep('presentation', () => presentationFromHeaders(grant.padStart(most + 1, 'A'), proof));
    presentationFromHeaders(grant.padStart(most, 'A'), proof);
  });

  it('is refused when a part is missing or is something else', () => {
    const json = presentationToJson(presentation);
    for (const changed of [
      undefined,
      null,
      [],
      'x',
      { ...json, aat_chain: 'x' },
      { ...json, aat_chain: [1] },
      { ...json, aat_pop: null },
      { ...json, spiffe_x5c: {} },
      { ...json, spiffe_x5c: [''] },
      { ...json, spiffe_x5c: Array.from({ length: 17 }, () => 'AAAA') },
      { ...json, spiffe_x5c: ['AAAA'.repeat(16_385)] },
      Object.create(json) as object,
    ])
      expectStep('presentation', () => presentationFromJson(changed));
    const { [GRANT_HEADER]: grant, [GRANT_PROOF_HEADER]: proof } =
      presentationToHeaders(presentation);
    for (const [one, other] of [
      [undefined, proof],
      [grant, undefined],
      [[grant, grant], proof],
      [grant.replace(';', ','), proof],
      [`${grant};x`, proof],
      ['', ''],
    ])
      expectStep('presentation', () => presentationFromHeaders(one, other));
    presentationFromHeaders(grant, proof);
  });
});
