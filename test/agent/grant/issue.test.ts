import { verify } from 'node:crypto';
import { exact, oneOf, urlUnder, wildcard } from 'agent-spiffe/agent';
import { expect } from 'chai';
import { readOwnGrant } from '#lib/agent/grant/issue.js';
import { TaskKey } from '#lib/agent/task-key.js';
import {
  ARGS,
  expectStep,
  GrantWorld,
  later,
  NOW,
  ORCHESTRATOR,
  RESEARCHER,
} from '../../support/grants.js';

interface Claims {
  readonly [name: string]: unknown;
}
const part = (token: string, at: 0 | 1): string =>
  Buffer.from(token.split('.')[at] ?? '', 'base64url').toString();
const claimsOf = (token: string): Claims => JSON.parse(part(token, 1)) as Claims;

describe('a grant that is made', () => {
  let world: GrantWorld;

  beforeEach(() => {
    world = new GrantWorld();
  });

  it('says in its root what the task is, whose it is and until when', () => {
    const token = world.root({ budget: { calls: 3, callsPerTool: { send: 1 } } });
    expect(part(token, 0)).to.equal('{"alg":"ES256","typ":"aat+jwt"}');
    const { jti, authorization_details: _, ...claims } = claimsOf(token);
    expect(jti).to.match(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(Number.parseInt((jti as string).replace('-', '').slice(0, 12), 16)).to.equal(
      NOW.getTime(),
    );
    expect(claims).to.deep.equal({
      iss: ORCHESTRATOR.toString(),
      sub: ORCHESTRATOR.toString(),
      iat: NOW.getTime() / 1000,
      exp: NOW.getTime() / 1000 + 600,
      del_depth: 0,
      del_max_depth: 2,
      cnf: { jwk: { ...world.keys[0].publicJwk } },
      spiffe_task: 'task-1',
      spiffe_labels: { confidentiality: 'public', integrity: 'trusted' },
      spiffe_budget: { calls: 3, calls_per_tool: { send: 1 } },
    });
  });

  it('writes its claims in canonical order, and signs the very text', () => {
    const token = world.root();
    const [head = '', body = '', signature = ''] = token.split('.');
    const names = [...part(token, 1).matchAll(/"(aud|authorization_details|cnf|exp|sub)":/g)];
    expect(names.map(([, name]) => name)).to.deep.equal([
      'authorization_details',
      'cnf',
      'exp',
      'sub',
    ]);
    const key = { key: world.svid.privateKey, dsaEncoding: 'ieee-p1363' as const };
    const bytes = Buffer.from(signature, 'base64url');
    expect(verify('sha256', Buffer.from(`${head}.${body}`), key, bytes)).to.equal(true);
  });

  it('takes constraints as they are written for a task', () => {
    const root = world.root({
      tools: { send: { to: oneOf('ann@acme.example'), body: wildcard() } },
    });
    const child = world.child(root, {
      tools: { send: { to: exact('ann@acme.example'), body: wildcard() } },
    });
    world.verify(world.present([root, child]));
  });

  it('passes on all of its parent unless it is told less', () => {
    const root = world.root();
    const child = world.child(root);
    const whole = claimsOf(world.grandchild(child));
    const { authorization_details: details, exp, spiffe_task: task } = claimsOf(child);
    expect(whole).to.deep.include({ authorization_details: details, exp, spiffe_task: task });
    expect(whole).to.include({ del_depth: 2, del_max_depth: 2 });
  });

  it('is refused with a constraint that only this process can judge', () => {
    const tools = { get: { url: urlUnder('https://acme.example/') } };
    const { message } = expectStep('3n', () => world.root({ tools }));
    expect(message).to.include('no token carries url_under');
    world.root({ tools: { get: { url: oneOf('https://acme.example/a') } } });
  });

  it('is refused when it would allow more than its parent', () => {
    const root = world.root();
    const send = { to: exact('ann@acme.example'), body: wildcard() };
    const copies = { constraint_type: 'range', min: 1, max: 5 };
    const refusals = {
      '4p1': { tools: { pay: {} } },
      '4p2': { tools: { send: { ...send, bcc: wildcard() } } },
      '4p3': {
        tools: { send: { ...send, body: { constraint_type: 'wildcard', optional: true } } },
      },
      '4p4': { tools: { send: { ...send, to: oneOf('ann@acme.example', 'eve@evil.example') } } },
      '4g': { maxDepth: 3 },
      '4m': { maxDepth: 0 },
      '4h': { expiresAt: later(601_000) },
      '4i': { expiresAt: NOW },
      '4o': { tools: { send: { ...send, to: { constraint_type: 'regex' } } } },
    };
    for (const [step, changes] of Object.entries(refusals))
      expectStep(step, () => world.child(root, changes));
    world.child(root, {
      tools: { send: { ...send, copies } },
      maxDepth: 1,
      expiresAt: later(1000),
    });
  });

  it('is refused below a token that may not be passed on', () => {
    const last = world.root({ maxDepth: 0 });
    expectStep('4e', () => world.child(last));
    const [, , leaf = ''] = world.chain();
    expectStep('4e', () => world.grandchild(leaf, { signer: world.keys[2] }));
    expectStep('4e', () => world.child(world.root({ maxDepth: 0 }), { maxDepth: 0 }));
  });

  it('is refused by the key of another task of the same process, and so is a proof', () => {
    const [root = '', child = ''] = world.chain();
    const other = new TaskKey();
    expectStep('4b', () => world.child(root, { signer: other }));
    expectStep('7b', () => world.present([root, child], { signer: other }));
    // One that does not ask whose key it is fails at the verifier.
    const forged = { publicJwk: world.keys[1].publicJwk, sign: other.sign.bind(other) };
    expectStep('7b', () => world.verify(world.present([root, child], { signer: forged })));
    const forgedChild = { publicJwk: world.keys[0].publicJwk, sign: other.sign.bind(other) };
    const second = world.child(root, { signer: forgedChild });
    expectStep('4b', () => world.verify(world.present([root, second])));
    world.verify(world.present([root, child]));
  });

  it('is refused for an SVID that has expired, and cut to one that is about to', () => {
    const svid = world.ca.issue(ORCHESTRATOR, { ttlMs: 60_000 });
    expectStep('3e', () => world.root({ svid, now: later(61_000) }));
    expect(claimsOf(world.root({ svid }))['exp']).to.equal(svid.notAfter.getTime() / 1000);
  });

  it('is not younger than its parent when the clock of its giver is behind', () => {
    const root = world.root();
    const child = world.child(root, { now: later(-5000) });
    expect(claimsOf(child)['iat']).to.equal(claimsOf(root)['iat']);
  });

  it('can be read by its holder', () => {
    const own = readOwnGrant(world.child(world.root()), ORCHESTRATOR);
    expect(own.sub.toString()).to.equal(RESEARCHER.toString());
    expect(own.tools).to.deep.equal(['send']);
    expect(own.depth).to.equal(1);
    expectStep('2c', () => readOwnGrant('a.b', ORCHESTRATOR));
  });

  it('shows in no message a token, a proof or a value of an argument', () => {
    const chain = world.chain();
    const presentation = world.present(chain);
    const secret = '{"to":"ann@acme.example","body":"s3cret","extra":"s3cret"}';
    const error = expectStep('6b', () => world.verify(presentation, { argsJson: secret }));
    for (const text of [...chain, presentation.proof, 's3cret'])
      expect(error.message).to.not.include(text);
    world.verify(presentation, { argsJson: ARGS });
  });

  it('has no proof for arguments that nobody could judge as written', () => {
    const [root = ''] = world.chain();
    for (const argsJson of ['{"a":9007199254740993}', '{"a":1,"a":1}', '[]', '{', '{"a":"\ud800"}'])
      expectStep('6b', () => world.present([root], { argsJson }));
    world.present([root], { argsJson: '{"a":9007199254740992}' });
  });
});
