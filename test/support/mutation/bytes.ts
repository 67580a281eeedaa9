import type { Random } from './random.js';

const ODD = [0x00, 0x01, 0x7f, 0x80, 0x81, 0xa0, 0xff];

/** One small change to bytes, which stay as they were. */
export function mutateBytes(random: Random, bytes: Uint8Array): Buffer {
  const at = random.int(bytes.length + 1);
  const before = bytes.subarray(0, at);
  const after = bytes.subarray(at);
  switch (random.int(8)) {
    case 0:
      return Buffer.from(before);
    case 1:
      return Buffer.concat([before, after.subarray(1)]);
    case 2:
      return Buffer.concat([before, random.bytes(1 + random.int(4)), after]);
    case 3:
      return Buffer.concat([before, after.subarray(0, 8), after]);
    case 4:
      return Buffer.concat([bytes, random.bytes(1 + random.int(3))]);
    case 5:
      return Buffer.concat([before, Buffer.from([random.pick(ODD)]), after.subarray(1)]);
    default: {
      const changed = Buffer.from(bytes);
      if (changed.length > 0) {
        const place = random.int(changed.length);
        changed[place] = (changed[place] as number) ^ (1 << random.int(8));
      }
      return changed;
    }
  }
}
