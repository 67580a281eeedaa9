import { mutateBytes } from './bytes.js';
import type { Random } from './random.js';

/** An element of DER taken apart as far as it goes, so that any part of it can be changed and written again. */
interface Node {
  tag: number;
  /** Elements inside, or bytes where these are no elements. */
  inside: Node[] | Buffer;
  /** What stands before the elements inside: the unused bits of a BIT STRING. */
  readonly lead: Buffer;
  length: 'shortest' | 'longer' | 'indefinite' | 'one too many' | 'one too few';
}

const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const CONSTRUCTED = 0x20;
const NONE = Buffer.alloc(0);
const TAGS = [
  0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x13, 0x16, 0x17, 0x18, 0x30, 0x31, 0x80, 0x82, 0x86,
  0xa0, 0xa3,
];

function parseAll(bytes: Buffer): Node[] | undefined {
  const nodes: Node[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (at + 2 > bytes.length) return undefined;
    let length = bytes[at + 1] as number;
    let body = at + 2;
    if (length >= 0x80) {
      const count = length & 0x7f;
      if (count === 0 || count > 3 || body + count > bytes.length) return undefined;
      length = bytes.readUIntBE(body, count);
      body += count;
    }
    if (body + length > bytes.length) return undefined;
    nodes.push(parseOne(bytes[at] as number, bytes.subarray(body, body + length)));
    at = body + length;
  }
  return nodes;
}

function parseOne(tag: number, content: Buffer): Node {
  // Keys and extensions hold DER in strings: it is taken apart too.
  const lead = tag === BIT_STRING ? content.subarray(0, 1) : NONE;
  const holds = tag === BIT_STRING || tag === OCTET_STRING || (tag & CONSTRUCTED) !== 0;
  const rest = content.subarray(lead.length);
  const inside = holds && rest.length > 0 ? parseAll(rest) : undefined;
  return inside === undefined
    ? { tag, inside: content, lead: NONE, length: 'shortest' }
    : { tag, inside, lead, length: 'shortest' };
}

function write(node: Node): Buffer {
  const inside = Array.isArray(node.inside) ? node.inside.map(write) : [node.inside];
  const content = Buffer.concat([node.lead, ...inside]);
  return Buffer.concat([Buffer.from([node.tag]), ...wrap(content, node.length)]);
}

/** A copy, since an element put inside itself would never end. */
function copyOf(node: Node): Node {
  const { inside } = node;
  return { ...node, inside: Array.isArray(inside) ? inside.map(copyOf) : inside };
}

function wrap(content: Buffer, form: Node['length']): Buffer[] {
  if (form === 'indefinite') return [Buffer.from([0x80]), content, Buffer.from([0, 0])];
  const off = form === 'one too many' ? 1 : form === 'one too few' ? -1 : 0;
  const length = Math.max(0, content.length + off);
  if (length < 0x80 && form !== 'longer') return [Buffer.from([length]), content];
  const bytes = length < 0x100 ? 1 : length < 0x10000 ? 2 : 3;
  const count = bytes + (form === 'longer' && length >= 0x80 ? 1 : 0);
  const head = Buffer.alloc(1 + count);
  head[0] = 0x80 | count;
  head.writeUIntBE(length, 1, count);
  return [head, content];
}

/** Every list of elements that stands somewhere in `nodes`, itself included. */
function listsOf(nodes: Node[]): Node[][] {
  return [nodes, ...nodes.flatMap(({ inside }) => (Array.isArray(inside) ? listsOf(inside) : []))];
}

/** One change to the elements of a DER encoding, which stay nested as they were wherever nothing was changed. */
export function mutateDer(random: Random, der: Uint8Array): Buffer {
  const nodes = parseAll(Buffer.from(der));
  if (nodes === undefined || nodes.length === 0) return mutateBytes(random, der);
  const lists = listsOf(nodes).filter((list) => list.length > 0);
  const list = random.pick(lists);
  const at = random.int(list.length);
  const node = list[at] as Node;
  switch (random.int(10)) {
    case 0:
      list.splice(at, 1);
      break;
    case 1:
      list.splice(at, 0, copyOf(node));
      break;
    case 2:
      list.splice(random.int(list.length), 0, ...list.splice(at, 1));
      break;
    case 3:
      node.tag = random.oneIn(3) ? node.tag ^ (1 << (5 + random.int(3))) : random.pick(TAGS);
      break;
    case 4:
      node.length = random.pick(['longer', 'indefinite', 'one too many', 'one too few'] as const);
      break;
    case 5:
      list.splice(at, 0, copyOf(random.pick(random.pick(lists))));
      break;
    case 6:
      node.inside = NONE;
      break;
    default:
      mutateContent(random, node);
  }
  return Buffer.concat(nodes.map(write));
}

function mutateContent(random: Random, node: Node): void {
  if (Buffer.isBuffer(node.inside)) node.inside = mutateBytes(random, node.inside);
  else if (random.oneIn(3))
    node.inside.push({ tag: 0x05, inside: NONE, lead: NONE, length: 'shortest' });
  else mutateContent(random, random.pick(node.inside));
}
