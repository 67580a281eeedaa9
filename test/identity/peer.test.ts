import { type Peer, SpiffeId } from 'agent-spiffe';
import { expect } from 'chai';
import { capturedPeer, capturePeer, NOBODY } from '#lib/identity/peer.js';

const peer: Peer = { id: SpiffeId.parse('spiffe://example.org/agent'), chain: [Uint8Array.of(1)] };

describe('the peer on a connection', () => {
  it('is none where no gate was passed', () => {
    expect(capturedPeer({})).to.equal(undefined);
  });

  it('is the one that was captured, and a copy of what was given', () => {
    const connection = {};
    const chain = [Uint8Array.of(1)];
    capturePeer(connection, { ...peer, chain });
    chain.push(Uint8Array.of(2));
    expect(capturedPeer(connection)).to.deep.equal(peer);
    expect(Object.isFrozen(capturedPeer(connection))).to.equal(true);
    expect(Object.isFrozen((capturedPeer(connection) as Peer).chain)).to.equal(true);
  });

  it('is nobody where a gate that asks for no certificate was shown none', () => {
    const connection = {};
    capturePeer(connection, NOBODY);
    expect(capturedPeer(connection)).to.equal(NOBODY);
  });

  it('is captured once and for all, and is not listed', () => {
    const connection = {};
    capturePeer(connection, NOBODY);
    expect(() => capturePeer(connection, peer)).to.throw(TypeError);
    expect(capturedPeer(connection)).to.equal(NOBODY);
    expect(Object.keys(connection)).to.deep.equal([]);
    expect(JSON.stringify(connection)).to.equal('{}');
  });

  it('is found through a proxy, such as http2 makes of its socket', () => {
    const connection = {};
    capturePeer(connection, peer);
    expect(capturedPeer(new Proxy(connection, {}))).to.deep.equal(peer);
  });
});
