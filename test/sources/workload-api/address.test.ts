import { parseWorkloadApiAddress, SpiffeError } from 'agent-spiffe';
import { expect } from 'chai';
import { describeAddress, resolveWorkloadApiAddress } from '#lib/sources/workload-api/address.js';
import { vectorsOf } from '../../support/vectors.js';

const unix = (path: string) => ({ kind: 'unix', path }) as const;
const tcp = (host: string, port: number) => ({ kind: 'tcp', host, port }) as const;

const ACCEPTED = [
  ['WLE-09', 'unix:///run/spire/agent.sock', unix('/run/spire/agent.sock')],
  ['WLE-09', 'unix:/run/spire/agent.sock', unix('/run/spire/agent.sock')],
  ['WLE-09, percent-decoded', 'unix:///tmp/a%20b%3F.sock', unix('/tmp/a b?.sock')],
  ['WLE-09, UTF-8', 'unix:///tmp/%C3%A9', unix('/tmp/é')],
  ['RFC 3986 3.3: all of pchar', "unix:/-._~!$&'()*+,;=:@%41", unix("/-._~!$&'()*+,;=:@A")],
  ['WLE-09: dots are the file system’s matter', 'unix:///a/../b', unix('/a/../b')],
  ['RFC 3986 3.1: a scheme has no case', 'UNIX:///a', unix('/a')],
  ['WLE-10', 'tcp://127.0.0.1:8081', tcp('127.0.0.1', 8081)],
  ['WLE-10', 'tcp://[::1]:65535', tcp('::1', 65535)],
  ['RFC 3986 3.2.3: a port is digits', 'tcp://10.0.0.1:0080', tcp('10.0.0.1', 80)],
] as const;

const REFUSED = [
  ['WLE-08: no scheme', '/run/spire/agent.sock', /neither unix: nor tcp:/],
  ['WLE-08: another scheme', 'http://127.0.0.1:80', /neither unix: nor tcp:/],
  ['WLE-08: a blank before it', ' unix:///a', /neither unix: nor tcp:/],
  ['empty', '', /it is empty/],
  ['WLE-09: no path', 'unix:', /the path is missing/],
  ['WLE-09: no path behind an empty authority', 'unix://', /the path is missing/],
  ['WLE-09: relative', 'unix:agent.sock', /does not begin with a slash/],
  ['WLE-09: an authority', 'unix://run/agent.sock', /a host is not allowed/],
  ['WLE-09: an empty query', 'unix:///a?', /query or fragment/],
  ['WLE-09: an empty fragment', 'unix:///a#', /query or fragment/],
  ['RFC 3986: a newline', 'unix:///a\n', /RFC 3986 does not allow/],
  ['RFC 3986: not ASCII', 'unix:///é', /RFC 3986 does not allow/],
  ['RFC 3986: half an escape', 'unix:///a%2', /RFC 3986 does not allow/],
  ['an escape that is not UTF-8', 'unix:///%ff', /not UTF-8/],
  ['a NUL, which ends a path', 'unix:///a%00b', /control character/],
  ['WLE-10: a name', 'tcp://localhost:80', /not an IP address/],
  ['WLE-10: a short form that inet_aton takes', 'tcp://127.1:80', /not an IP address/],
  ['WLE-10: octal', 'tcp://0127.0.0.1:80', /not an IP address/],
  ['WLE-10: IPv6 without brackets', 'tcp://::1:80', /not an IP address/],
  ['RFC 3986: a zone', 'tcp://[fe80::1%25eth0]:80', /not an IP address/],
  ['WLE-10: half a bracket', 'tcp://[::1:80', /not an IP address/],
  ['WLE-10: an empty host', 'tcp://:80', /not an IP address/],
  ['WLE-10: an empty port', 'tcp://127.0.0.1:', /port is missing/],
  ['port 0', 'tcp://127.0.0.1:0', /between 1 and 65535/],
  ['port 65536', 'tcp://127.0.0.1:65536', /between 1 and 65535/],
  ['a port with a sign', 'tcp://127.0.0.1:+80', /not an IP address/],
  ['WLE-10: an empty user', 'tcp://@127.0.0.1:80', /not allowed/],
  ['WLE-10: a fragment', 'tcp://127.0.0.1:80#', /not allowed/],
  ['WLE-10: no authority', 'tcp:/127.0.0.1:80', /write tcp:/],
] as const;

describe('parseWorkloadApiAddress', () => {
  for (const vector of vectorsOf('address')) {
    it(`${vector.expect}s the vector ${vector.id} (${vector.why})`, () => {
      const parse = (): unknown => parseWorkloadApiAddress(vector.text);
      if (vector.expect === 'accept') expect(parse).not.to.throw();
      else expect(parse).to.throw(SpiffeError).with.property('code', 'ERR_SPIFFE_ADDRESS_INVALID');
    });
  }

  for (const [why, text, address] of ACCEPTED) {
    it(`takes ${text} (${why}) as a frozen value`, () => {
      const parsed = parseWorkloadApiAddress(text);
      expect(parsed).to.deep.equal(address);
      expect(parsed).to.be.frozen;
    });
  }

  for (const [why, text, says] of REFUSED) {
    it(`refuses ${JSON.stringify(text)} (${why}) and says why`, () => {
      expect(() => parseWorkloadApiAddress(text))
        .to.throw(SpiffeError, says)
        .with.property('code', 'ERR_SPIFFE_ADDRESS_INVALID');
    });
  }

  it('refuses what is not a string', () => {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a caller without types
    expect(() => parseWorkloadApiAddress(7 as unknown as string)).to.throw(
      SpiffeError,
      /not a string/,
    );
  });
});

describe('the address of the Workload API', () => {
  const environment = { SPIFFE_ENDPOINT_SOCKET: 'unix:///env' };

  it('is the one given, before that of the environment (WLE-07)', () => {
    expect(resolveWorkloadApiAddress('unix:///given', environment)).to.deep.equal(unix('/given'));
  });

  it('is that of the environment where none is given (WLE-07)', () => {
    expect(resolveWorkloadApiAddress(undefined, environment)).to.deep.equal(unix('/env'));
  });

  it('is not guessed where there is neither (WLE-07)', () => {
    expect(() => resolveWorkloadApiAddress(undefined, {}))
      .to.throw(SpiffeError, /SPIFFE_ENDPOINT_SOCKET is not set/)
      .with.property('code', 'ERR_SPIFFE_ADDRESS_INVALID');
  });

  it('is missing where the variable is set but empty (A-24)', () => {
    expect(() => resolveWorkloadApiAddress(undefined, { SPIFFE_ENDPOINT_SOCKET: '' }))
      .to.throw(SpiffeError, /SPIFFE_ENDPOINT_SOCKET is set but empty/)
      .with.property('code', 'ERR_SPIFFE_ADDRESS_INVALID');
  });

  it('is refused with the name of the variable that holds it, and the reason', () => {
    expect(() => resolveWorkloadApiAddress(undefined, { SPIFFE_ENDPOINT_SOCKET: 'npipe:x' }))
      .to.throw(SpiffeError, /SPIFFE_ENDPOINT_SOCKET="npipe:x" .*WLE-08/)
      .with.property('code', 'ERR_SPIFFE_ADDRESS_INVALID');
  });

  it('reads in a message as it would be written', () => {
    for (const text of ['unix:/a', 'tcp://127.0.0.1:80', 'tcp://[::1]:80'])
      expect(describeAddress(parseWorkloadApiAddress(text))).to.equal(text);
  });
});
