import { mintWithSpire } from 'agent-spiffe/authority';
import { TestCa } from 'agent-spiffe/testing';
import { expect } from 'chai';
import { craftRequest } from '../../support/certificate-request.js';
import { refusal } from '../../support/refusal.js';
import { rejection } from '../../support/rejection.js';
import { staticIdentity } from '../../support/static-identity.js';
import { AUTHORITY } from '../../support/task-authority.js';

const identity = staticIdentity(TestCa.create('example.org'), AUTHORITY);
const { signal } = new AbortController();
const csr = craftRequest({ uris: ['spiffe://example.org/agents/a/task/1'] });

describe('minting by SPIRE', () => {
  for (const address of [
    '',
    'spire',
    'spire:0',
    'spire:70000',
    'https://spire:1',
    '[x]:1',
    '::1:1',
  ])
    it(`is not set up for ${JSON.stringify(address)}`, () => {
      refusal('ERR_SPIFFE_OPTION_INVALID', 'address of SPIRE', () =>
        mintWithSpire({ address, identity }),
      );
    });

  it('is not set up for a rule that is none, an identity that is none, or more than it takes', () => {
    const address = '127.0.0.1:8081';
    refusal('ERR_SPIFFE_PEER_RULE_INVALID', '', () =>
      mintWithSpire({ address, identity, server: 'spire' }),
    );
    refusal('ERR_SPIFFE_OPTION_INVALID', '', () =>
      mintWithSpire({ address, identity: {} as never }),
    );
    const more = { address, identity, port: 1 };
    refusal('ERR_SPIFFE_OPTION_INVALID', 'port', () => mintWithSpire(more));
  });

  it('fails while nobody answers there, by name and by either kind of address', async () => {
    for (const host of ['127.0.0.1', '[::1]', 'localhost']) {
      using mint = mintWithSpire({ address: `${host}:1`, identity });
      const error = await rejection(
        'ERR_SPIFFE_CREDENTIAL_UNAVAILABLE',
        mint({ csr, ttlSeconds: 60, signal }).then(() => 'minted'),
      );
      expect(error.message).to.include('UNAVAILABLE');
    }
  });

  it('mints nothing once it is closed, nor for a caller who is gone', async () => {
    const mint = mintWithSpire({ address: '127.0.0.1:1', identity });
    const reason = new Error('gone');
    const gone = mint({ csr, ttlSeconds: 60, signal: AbortSignal.abort(reason) });
    expect(await gone.catch((error: unknown) => error)).to.equal(reason);
    mint.close();
    mint.close();
    await rejection(
      'ERR_SPIFFE_SOURCE_CLOSED',
      mint({ csr, ttlSeconds: 60, signal }).then(() => 'minted'),
    );
  });
});
