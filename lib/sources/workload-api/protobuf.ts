import { createRequire } from 'node:module';
import type * as Protobuf from 'protobufjs/minimal.js';

let loaded: typeof Protobuf | undefined;

/**
 * protobufjs, loaded by whoever first reads or writes a message. The first call of a workload has an empty request, so
 * that this happens while the endpoint answers and not before it is asked: 5 ms of the time to the first SVID.
 */
export function protobuf(): typeof Protobuf {
  loaded ??= createRequire(import.meta.url)('protobufjs/minimal.js') as typeof Protobuf;
  return loaded;
}
