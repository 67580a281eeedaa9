/** A small seeded generator (mulberry32): a failure names the seed, and the seed gives it again. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed;
  }

  below(bound: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % bound;
  }

  bytes(): Uint8Array {
    return Uint8Array.from({ length: this.below(3) === 0 ? 0 : this.below(300) }, () =>
      this.below(256),
    );
  }

  text(): string {
    const alphabet = ['a', 'Z', '0', '/', 'é', '€', '😀', '\u0000', '\ufeff', '.'];
    return Array.from({ length: this.below(20) }, () => alphabet[this.below(10)]).join('');
  }

  list<T>(make: () => T): T[] {
    return Array.from({ length: this.below(4) }, make);
  }

  map<T>(make: () => T): Map<string, T> {
    return new Map(this.list(() => [this.text(), make()] as const));
  }
}
