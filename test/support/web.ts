import { createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, RequestListener } from 'node:http';
import { createServer, get, type Server } from 'node:https';
import { text } from 'node:stream/consumers';
import type { TLSSocket } from 'node:tls';
import { type Identity, type Verifier, X509Bundles, type X509Svid } from 'agent-spiffe';
import {
  createAgent,
  createDispatcher,
  createFetch,
  type PeerBinding,
  type Peers,
} from 'agent-spiffe/http';
import { TestCa } from 'agent-spiffe/testing';
import { request } from 'undici';
import { writePem } from '#lib/internal/pem.js';
import { type Authority, leafFields } from '#lib/testing/authority.js';
import { type CertificateFields, writeCertificate } from '#lib/testing/certificate.js';
import { subjectAltName } from '#lib/testing/extensions.js';
import { makeKey } from '#lib/testing/keys.js';
import { listen } from './listen.js';
import { StaticX509Source } from './static-identity.js';

/** What a server or a client shows, as `node:tls` takes it. */
export interface PemPair {
  readonly key: string;
  readonly cert: string;
}

const HOUR_MS = 3600_000;

/** A CA of the web, for tests. */
export class WebCa {
  readonly authority: Authority;

  constructor() {
    this.authority = TestCa.create('web.test').authority;
  }

  /** Its root, to be given as `ca`. */
  get pem(): string {
    return writePem(this.authority.certificate, 'CERTIFICATE');
  }

  /** A certificate for the names under which a server of these tests is reached. */
  issue(
    options: {
      readonly dnsNames?: readonly string[];
      readonly ipAddresses?: readonly Uint8Array[];
      readonly uris?: readonly string[];
      readonly at?: number;
    } = {},
  ): PemPair {
    const {
      dnsNames = ['localhost'],
      ipAddresses = [Uint8Array.of(127, 0, 0, 1)],
      uris = [],
    } = options;
    const key = makeKey('ec-p256');
    const fields: CertificateFields = leafFields(this.authority, {
      id: 'unused',
      publicKey: createPublicKey(key),
      now: new Date(options.at ?? Date.now()),
      ttlMs: HOUR_MS,
    });
    const names = subjectAltName({ dnsNames, ipAddresses, uris }, { critical: true });
    const der = writeCertificate({
      ...fields,
      extensions: [...fields.extensions.slice(0, -1), names],
    });
    return {
      key: key.export({ type: 'pkcs8', format: 'pem' }) as string,
      cert: writePem(der, 'CERTIFICATE'),
    };
  }

  /** The same, signed by its own key. */
  issueSelfSigned(): PemPair {
    const key = makeKey('ec-p256');
    const fields = leafFields(this.authority, {
      id: 'unused',
      publicKey: createPublicKey(key),
      now: new Date(),
      ttlMs: HOUR_MS,
    });
    const names = subjectAltName({ dnsNames: ['localhost'] }, { critical: true });
    const der = writeCertificate({
      ...fields,
      issuer: fields.subject,
      signingKey: key,
      extensions: [...fields.extensions.slice(0, -2), names],
    });
    return {
      key: key.export({ type: 'pkcs8', format: 'pem' }) as string,
      cert: writePem(der, 'CERTIFICATE'),
    };
  }
}

/** An SVID as `node:tls` takes it. */
export function pemOf(svid: X509Svid): PemPair {
  return {
    key: svid.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    cert: svid.certificates.map((der) => writePem(der, 'CERTIFICATE')).join(''),
  };
}

/** A server that Node alone made; it asks every client for a certificate and notes whether one was shown. */
export interface WebServer extends AsyncDisposable {
  readonly server: Server;
  readonly port: number;
  /** One for each connection: whether its client showed a certificate. */
  readonly shown: readonly boolean[];
  /** How many requests its handler saw. */
  requests(): number;
}

const HELLO: RequestListener = (_, response) => response.end('hello from the web');

export async function webServer(
  presents: PemPair,
  handler: RequestListener = HELLO,
): Promise<WebServer> {
  const shown: boolean[] = [];
  let requests = 0;
  const server = createServer(
    { ...presents, requestCert: true, rejectUnauthorized: false },
    (incoming, response) => {
      requests += 1;
      handler(incoming, response);
    },
  );
  server.on('secureConnection', (socket: TLSSocket) => {
    shown.push(socket.getPeerX509Certificate() !== undefined);
  });
  const port = await listen(server);
  return {
    server,
    port,
    shown,
    requests: () => requests,
    [Symbol.asyncDispose]: () => closeServer(server),
  };
}

/** Closes a server and its connections. */
export async function closeServer(server: Server): Promise<void> {
  server.close();
  server.closeAllConnections();
  await once(server, 'close');
}

/** A client that can be told whom to expect where. */
export interface WebClient {
  readonly name: string;
  /** One request to the origin, whose server must meet `binding`; the answer's body. */
  call(identity: Identity | Verifier, origin: string, binding: PeerBinding): Promise<string>;
}

/** One for each way to make a client. */
export const WEB_CLIENTS: readonly WebClient[] = [
  {
    name: 'createFetch',
    call: async (identity, origin, binding) => {
      const peers: Peers = { [origin]: binding };
      await using fetch = createFetch(identity, { peers });
      return await (await fetch(`${origin}/`)).text();
    },
  },
  {
    name: 'createDispatcher',
    call: async (identity, origin, binding) => {
      const dispatcher = createDispatcher(identity, { peers: { [origin]: binding } });
      try {
        return await (await request(`${origin}/`, { dispatcher })).body.text();
      } finally {
        await dispatcher.close();
      }
    },
  },
  {
    name: 'createAgent',
    call: async (identity, origin, binding) => {
      const agent = createAgent(identity, { peers: { [origin]: binding } });
      try {
        return await text(await answerOf(`${origin}/`, { agent }));
      } finally {
        agent.destroy();
      }
    },
  },
];

/** The answer to one GET by `node:https`. */
export async function answerOf(
  url: string,
  options: Parameters<typeof get>[1],
): Promise<IncomingMessage> {
  const [response] = (await once(get(url, options), 'response')) as [IncomingMessage];
  return response;
}

/** Bundles without an identity, which stand still until the test moves them. */
export function staticVerifier(...authorities: readonly TestCa[]): Verifier & {
  readonly source: StaticX509Source;
} {
  const bundles = X509Bundles.of(...authorities.map(({ bundle }) => bundle));
  const source = new StaticX509Source([], bundles);
  return {
    source,
    x509: {
      get state() {
        return source.state;
      },
      get bundles() {
        return source.bundles;
      },
      updates: (options) => source.updates(options),
    },
  };
}
