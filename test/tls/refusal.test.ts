import { once } from 'node:events';
import { createServer as createTcpServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { createServer } from 'agent-spiffe/http';
import { expect } from 'chai';
import { CLIENT_TARGETS } from '../attacks/client-targets.js';
import { credentials, PEER, pemOf, SELF, selfIdentity } from '../attacks/credentials.js';
import { VERSIONS } from '../attacks/raw-tls.js';
import { listen } from '../support/listen.js';
import { opensslServer } from '../support/openssl-server.js';
import { rejection } from '../support/rejection.js';

const RULE = [PEER, SELF];

// For gRPC: test/bindings/grpc/calls.test.ts.
for (const target of CLIENT_TARGETS.filter(({ protocol }) => protocol === 'http/1.1')) {
  describe(`${target.name}, when the server does not let us in`, () => {
    it('says that the server has refused us, and asks whether it allows our ID', async () => {
      const server = createServer(selfIdentity(), { allow: PEER }, (_request, response) => {
        response.end('hi');
      });
      const port = await listen(server);
      const outcome = target.call(selfIdentity(), port, RULE);
      const error = await rejection('ERR_SPIFFE_REFUSED_BY_PEER', outcome);
      expect(error.message).to.include(`127.0.0.1:${port}`);
      expect(error.message).to.include(`does the server allow ${SELF}?`);
      server.close();
      await once(server, 'close');
    });

    for (const version of VERSIONS) {
      it(`says so, too, when a server of another make sends an alert over ${version}, and keeps it`, async function () {
        const trusted = pemOf(credentials.ofStranger).cert;
        const server = await opensslServer({ ...pemOf(credentials.good), trusted, version });
        if (server === undefined) this.skip();
        const outcome = target.call(selfIdentity(), server.port, RULE);
        const error = await rejection('ERR_SPIFFE_REFUSED_BY_PEER', outcome);
        expect(error.cause)
          .to.have.property('code')
          .that.matches(/^ERR_SSL_.*ALERT_UNKNOWN_CA$/);
        await server.close();
      });

      it(`says so, too, when the connection is reset over ${version} before any response`, async () => {
        const options = { ...pemOf(credentials.good), minVersion: version, maxVersion: version };
        const tls = createTlsServer(options);
        const server = createTcpServer((socket) => {
          tls.emit('connection', socket);
          tls.once('secureConnection', (secure) => {
            secure.once('data', () => socket.resetAndDestroy());
          });
        });
        const port = await listen(server);
        await rejection('ERR_SPIFFE_REFUSED_BY_PEER', target.call(selfIdentity(), port, RULE));
        server.close();
        await once(server, 'close');
      });
    }

    it('does not say so when the connection ends in the middle of an answer', async () => {
      const server = createTlsServer(pemOf(credentials.good), (socket) => {
        socket.on('error', () => {});
        socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf'));
      });
      const port = await listen(server);
      const outcome = target.call(selfIdentity(), port, RULE);
      const error: unknown = await outcome.then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(error ?? {}).to.not.have.property('code', 'ERR_SPIFFE_REFUSED_BY_PEER');
      server.close();
      await once(server, 'close');
    });
  });
}
