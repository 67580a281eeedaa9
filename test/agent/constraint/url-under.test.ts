import { check, urlUnder } from 'agent-spiffe/agent';
import { expect } from 'chai';
import { refusal } from '../../support/refusal.js';

const API = 'https://api.example.org/v1/files';

describe('urlUnder', () => {
  for (const url of [
    'https://api.example.org/v1/files',
    'https://api.example.org/v1/files/',
    'https://api.example.org/v1/files/a/b.txt',
    'https://api.example.org:443/v1/files/a',
    'https://API.example.org/v1/files/a',
    'HTTPS://api.example.org/v1/files/a',
    'https://api.example.org/v1/files/a?q=../../x&u=https://evil.example',
    'https://api.example.org/v1/files/a#part',
    'https://api.example.org/v1/files/caf%C3%A9',
    'https://api.example.org/v1/files/100%25',
    'https://api.example.org/v1/files/...',
    'https://api.example.org/v1/files/.hidden',
    'https://api.example.org/v1/files/a;version=1',
    'https://api.example.org/v1/files/user@host',
    'https://api.example.org/v1/files/what%3F%20%231',
    'https://api.example.org/v1/files/%EF%BC%A1',
  ]) {
    it(`takes ${url}`, () => {
      expect(check(urlUnder(API), url)).to.equal(true);
    });
  }

  for (const [trick, url] of [
    ['another scheme', 'http://api.example.org/v1/files/a'],
    ['another host', 'https://api.example.com/v1/files/a'],
    ['a host below', 'https://x.api.example.org/v1/files/a'],
    ['a host that begins alike', 'https://api.example.org.evil.example/v1/files/a'],
    ['a host with a dot at the end', 'https://api.example.org./v1/files/a'],
    ['another port', 'https://api.example.org:8443/v1/files/a'],
    ['an empty port', 'https://api.example.org:/v1/files/a'],
    ['a port with a zero before it', 'https://api.example.org:0443/v1/files/a'],
    ['a path above', 'https://api.example.org/v1'],
    ['a path beside', 'https://api.example.org/v1/filesystem'],
    ['another case', 'https://api.example.org/V1/files/a'],
    ['a user', 'https://user@api.example.org/v1/files/a'],
    ['a user and a password', 'https://user:secret@api.example.org/v1/files/a'],
    ['an empty user', 'https://@api.example.org/v1/files/a'],
    ['the host as a user', 'https://api.example.org@evil.example/v1/files/a'],
    ['the host as a user, port and all', 'https://api.example.org:443@evil.example/v1/files/a'],
    ['a host behind a backslash', 'https://api.example.org\\@evil.example/v1/files/a'],
    ['backslashes for slashes', 'https:\\\\api.example.org\\v1\\files\\a'],
    ['a backslash in the path', 'https://api.example.org/v1/files/..\\..\\admin'],
    ['a host behind a fragment', 'https://api.example.org#@evil.example/v1/files/a'],
    ['a host behind a query', 'https://api.example.org?@evil.example/v1/files/a'],
    ['dots', 'https://api.example.org/v1/files/../admin'],
    ['dots that come back', 'https://api.example.org/v1/files/../files/a'],
    ['one dot', 'https://api.example.org/v1/files/./a'],
    ['dots at the end', 'https://api.example.org/v1/files/..'],
    ['encoded dots', 'https://api.example.org/v1/files/%2e%2e/admin'],
    ['half encoded dots', 'https://api.example.org/v1/files/.%2E/admin'],
    ['dots encoded twice', 'https://api.example.org/v1/files/%252e%252e/admin'],
    ['dots encoded three times', 'https://api.example.org/v1/files/%25252e%25252e/admin'],
    ['dots before a parameter', 'https://api.example.org/v1/files/..;/admin'],
    ['encoded dots before a parameter', 'https://api.example.org/v1/files/%2e%2e;x=1/admin'],
    ['dots before an encoded parameter', 'https://api.example.org/v1/files/..%3Bx/admin'],
    ['dots before an encoded query', 'https://api.example.org/v1/files/..%3Fx/admin'],
    ['dots before an encoded fragment', 'https://api.example.org/v1/files/..%23x/admin'],
    ['dots before an encoded blank', 'https://api.example.org/v1/files/..%20/admin'],
    ['a dot after an encoded blank', 'https://api.example.org/v1/files/%20./admin'],
    ['dots around an encoded control', 'https://api.example.org/v1/files/.%0D./admin'],
    ['an encoded line end', 'https://api.example.org/v1/files/a%0Ab'],
    ['encoded dots of full width', 'https://api.example.org/v1/files/%EF%BC%8E%EF%BC%8E/admin'],
    ['two encoded dots in one sign', 'https://api.example.org/v1/files/%E2%80%A5/admin'],
    ['an encoded slash of full width', 'https://api.example.org/v1/files/a%EF%BC%8Fb'],
    ['an encoded backslash of full width', 'https://api.example.org/v1/files/a%EF%BC%BCb'],
    ['an encoded slash', 'https://api.example.org/v1/files/a%2Fb'],
    ['an encoded slash encoded again', 'https://api.example.org/v1/files/a%252fb'],
    ['an encoded backslash', 'https://api.example.org/v1/files/a%5cb'],
    ['an encoded NUL', 'https://api.example.org/v1/files/a%00.txt'],
    ['a percent sign alone', 'https://api.example.org/v1/files/100%'],
    ['bytes that are no UTF-8', 'https://api.example.org/v1/files/%ff'],
    ['an empty segment', 'https://api.example.org/v1/files//a'],
    ['an empty segment before', 'https://api.example.org//v1/files/a'],
    ['a blank before', ' https://api.example.org/v1/files/a'],
    ['a blank behind', 'https://api.example.org/v1/files/a '],
    ['a tab within', 'https://api.example.org/v1/fi\tles/a'],
    ['a line end within the host', 'https://api.exam\nple.org/v1/files/a'],
    ['a NUL', 'https://api.example.org/v1/files/a\0'],
    ['letters of full width', 'https://ａpi.example.org/v1/files/a'],
    ['a full stop of another script', 'https://api。example.org/v1/files/a'],
    ['a soft hyphen', 'https://api\u00ad.example.org/v1/files/a'],
    ['an encoded host', 'https://%61pi.example.org/v1/files/a'],
    ['letters that the parser encodes', 'https://api.example.org/v1/files/é'],
    ['brackets that the parser encodes', 'https://api.example.org/v1/files/{id}'],
    ['quotes that the parser encodes', 'https://api.example.org/v1/files/"a"'],
    ['one slash', 'https:/api.example.org/v1/files/a'],
    ['no slashes', 'https:api.example.org/v1/files/a'],
    ['three slashes', 'https:///api.example.org/v1/files/a'],
    ['no scheme', '//api.example.org/v1/files/a'],
    ['a path alone', '/v1/files/a'],
    ['a blob', 'blob:https://api.example.org/v1/files/a'],
    ['javascript', 'javascript://api.example.org/v1/files/a%0aalert(1)'],
    ['nothing', ''],
  ] as const) {
    it(`refuses ${trick}`, () => {
      expect(check(urlUnder(API), url), url).to.equal(false);
    });
  }

  for (const value of [
    null,
    1,
    true,
    ['https://api.example.org/v1/files/a'],
    { href: `${API}/a` },
  ]) {
    it(`refuses ${JSON.stringify(value)}`, () => {
      expect(check(urlUnder(API), value)).to.equal(false);
    });
  }

  it('takes an address in its one form, and no other spelling of it', () => {
    const local = urlUnder('http://127.0.0.1:8080/');
    expect(check(local, 'http://127.0.0.1:8080/x')).to.equal(true);
    for (const host of [
      '127.1',
      '2130706433',
      '0x7f.0.0.1',
      '0177.0.0.1',
      '127.0.0.1.',
      '127.0.0.01',
    ]) {
      expect(check(local, `http://${host}:8080/x`), host).to.equal(false);
    }
    const six = urlUnder('http://[::1]:8080');
    expect(check(six, 'http://[::1]:8080/x')).to.equal(true);
    for (const host of [
      '[0:0:0:0:0:0:0:1]',
      '[::0001]',
      '[::ffff:127.0.0.1]',
      '127.0.0.1',
      'localhost',
    ]) {
      expect(check(six, `http://${host}:8080/x`), host).to.equal(false);
    }
  });

  it('takes every path of an origin that is given without one', () => {
    for (const base of ['https://api.example.org', 'https://api.example.org/']) {
      expect(check(urlUnder(base), 'https://api.example.org')).to.equal(true);
      expect(check(urlUnder(base), 'https://api.example.org/any/thing')).to.equal(true);
      expect(check(urlUnder(base), 'https://evil.example/')).to.equal(false);
    }
  });

  it('means the same with and without a slash at the end', () => {
    for (const base of [API, `${API}/`]) {
      expect(check(urlUnder(base), API)).to.equal(true);
      expect(check(urlUnder(base), `${API}/x`)).to.equal(true);
      expect(check(urlUnder(base), `${API}x`)).to.equal(false);
    }
  });

  for (const base of [
    '',
    '/v1',
    'ftp://host/',
    'file:///etc',
    'https://user@host/',
    'https://host/?q=1',
    'https://host/?',
    'https://host/#x',
    'https://host/a/../b',
    'https://host/%2e%2e/',
    'https://127.1/',
    'https://host:/',
    'https://host//a',
    'https://h ost/',
  ]) {
    it(`refuses ${JSON.stringify(base)} as a base`, () => {
      refusal('ERR_SPIFFE_OPTION_INVALID', 'base', () => urlUnder(base));
    });
  }
});
