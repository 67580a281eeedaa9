import { once } from 'node:events';
import type { Server } from 'node:tls';
import type { ProtectOptions } from 'agent-spiffe/http';
import { expect } from 'chai';
import { listen } from '../support/listen.js';
import { type MemoryLogger, memoryLogger } from '../support/memory-logger.js';
import { credentials, PEER, selfIdentity, trusted } from './credentials.js';
import { type Outcome, rawRequest, VERSIONS, type Version } from './raw-tls.js';
import { type Attempt, ROWS } from './rows.js';
import { PROTOCOLS, SERVER_TARGETS, type ServerTarget } from './server-targets.js';

const HOSTILE_TEXT = /BEGIN|PRIVATE|-----/;

interface Run {
  readonly reached: readonly string[];
  readonly logger: MemoryLogger;
  readonly outcome: Outcome;
}

async function run(target: ServerTarget, version: Version, attempt: Attempt): Promise<Run> {
  const reached: string[] = [];
  const logger = memoryLogger();
  const options: ProtectOptions = { allow: attempt.rule, logger };
  const server: Server = target.make(selfIdentity(attempt.bundles), options, (peer) => {
    reached.push(peer);
  });
  const port = await listen(server);
  const { request, answered } = PROTOCOLS[target.protocol ?? target.alpn];
  const { presents } = attempt;
  const early = request;
  const enough = answered;
  const outcome = await rawRequest({ port, version, presents, alpn: target.alpn, early, enough });
  server.close();
  await once(server, 'close');
  return { reached, logger, outcome };
}

for (const target of SERVER_TARGETS) {
  describe(`the gate before ${target.name}`, () => {
    const { answered } = PROTOCOLS[target.protocol ?? target.alpn];
    for (const version of VERSIONS) {
      for (const { title, code, attack, twin } of ROWS) {
        it(`refuses over ${version} a client that has ${title}, its request sent along; the twin passes`, async () => {
          const refused = await run(target, version, attack);
          expect(refused.reached, 'nothing of the server is reached').to.deep.equal([]);
          expect(refused.outcome.received.length, 'nothing is answered').to.equal(0);
          const [line, ...more] = refused.logger.at('warn');
          expect(line?.fields['code']).to.equal(code);
          expect(line?.fields['remoteAddress']).to.equal('127.0.0.1');
          expect(JSON.stringify(line)).to.not.match(HOSTILE_TEXT);
          expect(more, 'one event a refusal').to.deep.equal([]);

          const passed = await run(target, version, twin);
          expect(passed.reached).to.not.be.empty;
          expect(answered(passed.outcome.received)).to.equal(true);
          expect(passed.logger.at('warn')).to.deep.equal([]);
        });
      }

      it(`lets nobody through over ${version} who has a stolen certificate without its key`, async () => {
        const attempt = { presents: credentials.stolen, rule: PEER, bundles: trusted };
        const { reached, outcome, logger } = await run(target, version, attempt);
        expect(reached).to.deep.equal([]);
        expect(outcome.received.length).to.equal(0);
        expect(logger.at('debug').map(({ message }) => message)).to.deep.equal([
          'a TLS handshake failed',
        ]);
      });
    }
  });
}
