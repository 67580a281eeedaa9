import { createServer as createTcpServer, type Socket } from 'node:net';
import { expect } from 'chai';
import { listen } from '../support/listen.js';
import { rejection } from '../support/rejection.js';
import { CLIENT_TARGETS, type ClientTarget } from './client-targets.js';
import { credentials, PEER, selfIdentity, trusted } from './credentials.js';
import { answerOfGrpc } from './grpc-frames.js';
import { type Answer, rawServer, VERSIONS } from './raw-tls.js';
import { ROWS } from './rows.js';

const ANSWERS: Readonly<Record<ClientTarget['protocol'], Answer>> = {
  'http/1.1': 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi',
  grpc: answerOfGrpc,
};

for (const target of CLIENT_TARGETS) {
  describe(`the gate of ${target.name}`, () => {
    const answer = ANSWERS[target.protocol];
    for (const version of VERSIONS) {
      for (const { title, code, attack, twin, clientsOnly = false } of ROWS) {
        if (clientsOnly) continue;
        it(`refuses over ${version} a server that has ${title}, and sends it nothing; the twin passes`, async () => {
          const refused = await rawServer({ version, presents: attack.presents, answer });
          const outcome = target.call(selfIdentity(attack.bundles), refused.port, attack.rule);
          const error = await rejection(code, outcome);
          await refused.close();
          expect(error.message).to.include(`127.0.0.1:${refused.port}`);
          expect(refused.received()).to.equal(0);

          const passed = await rawServer({ version, presents: twin.presents, answer });
          expect(await target.call(selfIdentity(twin.bundles), passed.port, twin.rule)).to.equal(
            'hi',
          );
          await passed.close();
          expect(passed.received()).to.be.greaterThan(0);
        });
      }

      it(`refuses over ${version} a server with a stolen certificate and not its key`, async () => {
        const server = await rawServer({ version, presents: credentials.stolen, answer });
        const outcome = target.call(selfIdentity(trusted), server.port, PEER);
        const error = await rejection('ERR_SPIFFE_HANDSHAKE_FAILED', outcome);
        await server.close();
        expect(error.cause).to.be.instanceOf(Error);
        expect(server.received()).to.equal(0);
      });
    }

    it('gives up on a server that never answers the handshake', async () => {
      const silent = createTcpServer();
      const accepted: Socket[] = [];
      silent.on('connection', (socket) => accepted.push(socket));
      const port = await listen(silent);
      await rejection('ERR_SPIFFE_HANDSHAKE_TIMEOUT', target.call(selfIdentity(), port, PEER, 50));
      for (const socket of accepted) socket.destroy();
      silent.close();
    });

    // grpc-js makes the connection of TCP itself, and says by itself why it could not.
    if (target.protocol !== 'grpc') {
      it('names host and port where nobody listens, and keeps the cause', async () => {
        const gone = createTcpServer();
        const port = await listen(gone);
        await new Promise((resolve) => gone.close(resolve));
        const error = await rejection(
          'ERR_SPIFFE_CONNECT_FAILED',
          target.call(selfIdentity(), port, PEER),
        );
        expect(error.message).to.include(`127.0.0.1:${port}`);
        expect(error.cause).to.have.property('code', 'ECONNREFUSED');
      });
    }

    it('refuses a server that answers in plaintext', async () => {
      const plain = createTcpServer((socket) => {
        socket.on('error', () => {}).resume();
        socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
      });
      const port = await listen(plain);
      await rejection('ERR_SPIFFE_HANDSHAKE_FAILED', target.call(selfIdentity(), port, PEER));
      await new Promise((resolve) => plain.close(resolve));
    });
  });
}
