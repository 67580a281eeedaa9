import type { Random } from './random.js';

/** One small change to a text: characters lost, doubled, exchanged, or a token of `dictionary` put in. */
export function mutateText(random: Random, text: string, dictionary: readonly string[]): string {
  const at = random.int(text.length + 1);
  const before = text.slice(0, at);
  const after = text.slice(at);
  switch (random.int(7)) {
    case 0:
      return before + after.slice(1 + random.int(3));
    case 1:
      return before + after.slice(0, 1 + random.int(4)) + after;
    case 2:
      return (
        before +
        String.fromCodePoint(random.oneIn(4) ? random.int(0x300) : random.int(128)) +
        after.slice(1)
      );
    case 3:
      return before + after.slice(1, 2) + after.slice(0, 1) + after.slice(2);
    case 4:
      return before + random.pick(dictionary) + after.slice(random.int(3));
    default:
      return before + random.pick(dictionary) + after;
  }
}
