import { createPrivateKey } from 'node:crypto';
import { expect } from 'chai';
import { parseCheckpoint, signCheckpoint } from '#lib/agent/audit/checkpoint.js';
import { isSignedBy, parseNote, VerifierKey } from '#lib/agent/audit/note.js';
import { MerkleTree } from '#lib/agent/audit/tree.js';

/** The example of C2SP signed-note. */
const KEY = 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k';
const NOTE = `This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
`;
/** The example of C2SP tlog-checkpoint. */
const CHECKPOINT = `example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
`;
/** RFC 8032 §7.1, test 1. */
const SEED = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60';
const PUBLIC = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a';

function key(text: string): VerifierKey {
  const parsed = VerifierKey.parse(text);
  if (parsed === undefined) throw new Error(`no verifier key: ${text}`);
  return parsed;
}

async function verifies(note: string, by: string = KEY): Promise<boolean | undefined> {
  const parsed = parseNote(note);
  return parsed && isSignedBy(parsed, key(by));
}

describe('a signed note', () => {
  it('is verified as the standard has it', async () => {
    expect(await verifies(NOTE)).to.equal(true);
    expect(key(KEY).text).to.equal(KEY);
  });

  const UNSIGNED: readonly (readonly [string, string])[] = [
    ['another text', NOTE.replace('example message', 'example massage')],
    ['another signature', NOTE.replace('QOkn8', 'QOkn9')],
    ['the signature of a key with another id', NOTE.replace('Uw2QOk', 'Uw2QOl')],
    [
      'the signature of a key with another name',
      NOTE.replace('— example.com/foo', '— example.com/bar'),
    ],
    ['a signature that is cut', NOTE.replace('IneyaQM=', 'IneyaQ==')],
    [
      'a second signature of the same key that is wrong',
      `${NOTE}${NOTE.split('\n')[2]?.replace('QOkn8', 'QOkn9')}\n`,
    ],
  ];
  for (const [what, note] of UNSIGNED) {
    it(`is not signed with ${what}`, async () => {
      expect(await verifies(note)).to.not.equal(true);
    });
  }

  it('may carry the signatures of others, and of another key of the same name', async () => {
    for (const other of ['— witness.example/w AAAAAAAA\n', '— example.com/foo AAAAAAAA\n'])
      expect(await verifies(`${NOTE}${other}`)).to.equal(true);
  });

  it('may have empty lines in its text', () => {
    const note = NOTE.replace('This is', 'This\n\nis');
    expect(parseNote(note)?.text).to.equal('This\n\nis an example message.\n');
  });

  const BROKEN: readonly (readonly [string, string])[] = [
    ['no signature', 'text\n'],
    ['no signature after the empty line', 'text\n\n'],
    ['no newline at its end', NOTE.slice(0, -1)],
    ['a hyphen for the dash', NOTE.replace('—', '-')],
    ['base64 that is not canonical', NOTE.replace('aQM=', 'aQN=')],
    ['base64url', NOTE.replace('Uw2QOkn8srV1yJGh2VYRlL1Tnagv1', 'Uw2QOkn8srV1yJGh2VYRlL1Tnag_1')],
    ['a plus in the name of a key', NOTE.replace('com/foo', 'com/f+o')],
    ['a blank of another kind in the name of a key', NOTE.replace('com/foo', 'com/f\u00a0o')],
    ['one line among its signatures that is none', `${NOTE}more\n`],
    ['a key without a name', NOTE.replace('— example.com/foo', '— ')],
    ['no more than a key id', NOTE.replace(/Uw2QO\S*/, 'Uw2QOg==')],
  ];
  for (const [what, note] of BROKEN) {
    it(`is none with ${what}`, () => {
      expect(parseNote(note)).to.equal(undefined);
    });
  }

  const NO_KEYS: readonly (readonly [string, string])[] = [
    ['an id that is not its own', KEY.replace('530d903a', '530d903b')],
    ['an id in capitals', KEY.replace('530d903a', '530D903A')],
    ['another type', 'example.com/foo+530d903a+AukyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k'],
    ['a key that is cut', 'example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv'],
    ['a blank in its name', KEY.replace('com/foo', 'com/ foo')],
    ['nothing', ''],
  ];
  for (const [what, text] of NO_KEYS) {
    it(`is verified by no key with ${what}`, () => {
      expect(VerifierKey.parse(text)).to.equal(undefined);
    });
  }
});

describe('a checkpoint', () => {
  it('is read as the standard has it', () => {
    const read = parseCheckpoint(CHECKPOINT);
    expect(read?.origin).to.equal('example.com/behind-the-sofa');
    expect(read?.size).to.equal(20_852_163);
    expect(Buffer.from(read?.root ?? '', 'latin1').toString('base64')).to.equal(
      'CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=',
    );
  });

  it('may have lines that extend it', () => {
    const extended = CHECKPOINT.replace('jxq2I=\n', 'jxq2I=\nmore\nand more\n');
    expect(parseCheckpoint(extended)?.size).to.equal(20_852_163);
  });

  const BROKEN: readonly (readonly [string, string])[] = [
    ['a size with a leading zero', CHECKPOINT.replace('20852163', '020852163')],
    ['a size that is no number', CHECKPOINT.replace('20852163', '2085216x')],
    ['a size beyond what is exact', CHECKPOINT.replace('20852163', '9999999999999999')],
    ['no origin', CHECKPOINT.replace('example.com/behind-the-sofa\n2', '\n2')],
    ['no root', CHECKPOINT.replace('CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n', '')],
    [
      'a root that is cut',
      CHECKPOINT.replace(
        'CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=',
        'CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jx',
      ),
    ],
    ['an empty line within', CHECKPOINT.replace('jxq2I=\n', 'jxq2I=\n\nmore\n')],
    ['no signature', CHECKPOINT.replace(/— .*\n/, '')],
  ];
  for (const [what, text] of BROKEN) {
    it(`is none with ${what}`, () => {
      expect(parseCheckpoint(text)).to.equal(undefined);
    });
  }

  it('is signed by the key that the verifier key names', async () => {
    const privateKey = createPrivateKey({
      key: Buffer.from(`302e020100300506032b657004220420${SEED}`, 'hex'),
      format: 'der',
      type: 'pkcs8',
    });
    const spki = Buffer.from(`302a300506032b6570032100${PUBLIC}`, 'hex');
    const verifier = VerifierKey.of('example.org/log', spki);
    const checkpoint = { origin: 'example.org/log', size: 0, root: new MerkleTree().root() };
    const signed = signCheckpoint(checkpoint, verifier, privateKey);
    expect(signed.split('\n').length).to.equal(6);
    expect(
      signed.startsWith(
        'example.org/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— example.org/log ',
      ),
    ).to.equal(true);
    expect(await verifies(signed, verifier.text)).to.equal(true);
  });
});
