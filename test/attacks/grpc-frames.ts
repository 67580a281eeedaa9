import { ECHO } from '../support/grpc.js';

const HEADERS = 1;
const DATA = 0;
const SETTINGS = 4;
const END_STREAM = 1;
const END_HEADERS = 4;
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const STREAM = 1;

/** RFC 9113 §4.1. */
function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

const prefixed = (short: string): Buffer =>
  Buffer.concat([Buffer.of(short.length), Buffer.from(short)]);

/** RFC 7541 §6.2.2: not indexed, the name written out. */
function field(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.of(0), prefixed(name), prefixed(value)]);
}

/** A message of gRPC, not compressed. */
function message(text: string): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(text.length, 1);
  return Buffer.concat([head, Buffer.from(text)]);
}

const settings = frame(SETTINGS, 0, 0, Buffer.alloc(0));
const grpc = field('content-type', 'application/grpc');

/** A unary call, as it leaves with the preface. */
export const UNARY_CALL: Buffer = Buffer.concat([
  Buffer.from(PREFACE),
  settings,
  frame(
    HEADERS,
    END_HEADERS,
    STREAM,
    Buffer.concat([
      field(':method', 'POST'),
      field(':scheme', 'https'),
      field(':path', ECHO.unary.path),
      field(':authority', 'target'),
      grpc,
      field('te', 'trailers'),
    ]),
  ),
  frame(DATA, END_STREAM, STREAM, message('x')),
]);

const ANSWER = Buffer.concat([
  // Of the static table: `:status: 200`.
  frame(HEADERS, END_HEADERS, STREAM, Buffer.concat([Buffer.of(0x88), grpc])),
  frame(DATA, 0, STREAM, message('hi')),
  frame(HEADERS, END_HEADERS | END_STREAM, STREAM, field('grpc-status', '0')),
]);

/** A server of gRPC in few bytes, for one connection: says "hi" to the first call that has come whole. */
export function answerOfGrpc(): (chunk: Buffer) => Buffer | undefined {
  let received = Buffer.alloc(0);
  let begun = false;
  let answered = false;
  return (chunk) => {
    received = Buffer.concat([received, chunk]);
    const answers: Buffer[] = [];
    if (!begun) answers.push(settings);
    begun = true;
    for (let at = PREFACE.length; at + 9 <= received.length; at += 9 + received.readUIntBE(at, 3)) {
      const ended = received[at + 3] === DATA && ((received[at + 4] ?? 0) & END_STREAM) > 0;
      if (ended && !answered) answers.push(ANSWER);
      answered ||= ended;
    }
    return Buffer.concat(answers);
  };
}
