import type { JsonValue } from './json.js';

/** Deeper than any honest document, shallower than any stack. */
const DEEPEST = 128;

/** A number that is not written as RFC 8785 would write its value, such as `1.0` or `9007199254740993`. */
export class WrittenNumber {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  /**
   * The value, when the canonical text of its double says the same number as was written; `undefined` when reading it
   * lost something (AAT 3.4, "admissible").
   */
  get value(): number | undefined {
    const value = Number(this.text);
    const isSame = Number.isFinite(value) && decimal(this.text) === decimal(String(value));
    return isSame ? value : undefined;
  }
}

/** JSON as it was written: a plain number has its canonical text, any other is a {@link WrittenNumber}. */
export type WrittenJson =
  | null
  | boolean
  | number
  | string
  | WrittenNumber
  | readonly WrittenJson[]
  | WrittenRecord;

/** A JSON object as it was written. A member called `__proto__` is a member like any other. */
export interface WrittenRecord {
  readonly [name: string]: WrittenJson;
}

/** Why text is not JSON that everybody reads in one way. */
export class StrictJsonError extends Error {
  override readonly name = 'StrictJsonError';
}

/**
 * Parses JSON that every parser reads in the same way: no member twice in one object, no lone surrogate (RFC 7493), no
 * more than 128 levels; numbers keep their text where it matters.
 *
 * @throws StrictJsonError; its message holds nothing of the text but names of members.
 */
export function parseStrictJson(text: string): WrittenJson {
  if (!text.isWellFormed()) throw new StrictJsonError('it holds a lone surrogate');
  return parsePlain(text) ?? new Parser(text).document();
}

/**
 * The same in half the time for what was written as `JSON.stringify` writes: whatever makes a difference here, a member
 * that stands twice or a number in another form, comes out of it as other text. `undefined` for all else.
 */
function parsePlain(text: string): WrittenJson | undefined {
  // An escape may hide a lone surrogate, and openings without end are a depth.
  if (text.includes('\\u') || !hasFewOpenings(text, '{') || !hasFewOpenings(text, '['))
    return undefined;
  try {
    const value = JSON.parse(text) as WrittenJson;
    return JSON.stringify(value) === text ? value : undefined;
  } catch {
    return undefined;
  }
}

function hasFewOpenings(text: string, sign: '{' | '['): boolean {
  let count = 0;
  for (let at = text.indexOf(sign); at !== -1; at = text.indexOf(sign, at + 1)) {
    count += 1;
    if (count > DEEPEST / 2) return false;
  }
  return true;
}

/**
 * The same without what was kept of numbers.
 *
 * @throws StrictJsonError for a number that no double holds as written.
 */
export function plainJson(written: WrittenJson): JsonValue {
  if (typeof written !== 'object' || written === null) return written;
  if (written instanceof WrittenNumber) {
    const { value } = written;
    if (value === undefined)
      throw new StrictJsonError('it holds a number that changes when it is read');
    return value;
  }
  if (isArray(written)) return written.map(plainJson);
  const plain: Record<string, JsonValue> = {};
  for (const name of Object.keys(written)) {
    if (name === '__proto__') throw new StrictJsonError('it has a member called __proto__');
    plain[name] = plainJson(written[name] as WrittenJson);
  }
  return plain;
}

/** Whether it is an object, and so neither an array nor a number kept as text. */
export function isRecord(written: WrittenJson | undefined): written is WrittenRecord {
  return (
    typeof written === 'object' &&
    written !== null &&
    !Array.isArray(written) &&
    !(written instanceof WrittenNumber)
  );
}

export function isArray(written: WrittenJson | undefined): written is readonly WrittenJson[] {
  return Array.isArray(written);
}

/** An own member. */
export function memberOf(record: WrittenRecord, name: string): WrittenJson | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** Every sign but the quote, the backslash and the controls (RFC 8259 7). */
const SIMPLE_STRING = /"[ !#-[\]-\uffff]*"/y;
const ANY_STRING = /"(?:[ !#-[\]-\uffff]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): WrittenJson {
    const value = this.#value(1);
    if (this.#next() !== undefined) throw this.#unexpected();
    return value;
  }

  #value(depth: number): WrittenJson {
    switch (this.#next()) {
      case '{':
        return this.#object(depth);
      case '[':
        return this.#array(depth);
      case '"':
        return this.#string();
      case 't':
        return this.#word('true', true);
      case 'f':
        return this.#word('false', false);
      case 'n':
        return this.#word('null', null);
      case undefined:
      default:
        return this.#number();
    }
  }

  #object(depth: number): WrittenRecord {
    this.#enter(depth);
    const members: Record<string, WrittenJson> = {};
    if (this.#next() === '}') {
      this.#at += 1;
      return members;
    }
    for (;;) {
      if (this.#next() !== '"') throw this.#unexpected();
      const name = this.#string();
      if (Object.hasOwn(members, name))
        throw new StrictJsonError(`it has the member ${JSON.stringify(name.slice(0, 100))} twice`);
      if (this.#next() !== ':') throw this.#unexpected();
      this.#at += 1;
      const value = this.#value(depth + 1);
      if (name === '__proto__')
        Object.defineProperty(members, name, { value, enumerable: true, writable: true });
      else members[name] = value;
      const sign = this.#next();
      if (sign !== ',' && sign !== '}') throw this.#unexpected();
      this.#at += 1;
      if (sign === '}') return members;
    }
  }

  #array(depth: number): readonly WrittenJson[] {
    this.#enter(depth);
    const items: WrittenJson[] = [];
    if (this.#next() === ']') {
      this.#at += 1;
      return items;
    }
    for (;;) {
      items.push(this.#value(depth + 1));
      const sign = this.#next();
      if (sign !== ',' && sign !== ']') throw this.#unexpected();
      this.#at += 1;
      if (sign === ']') return items;
    }
  }

  #enter(depth: number): void {
    if (depth > DEEPEST) throw new StrictJsonError(`it is deeper than ${DEEPEST} levels`);
    this.#at += 1;
  }

  #string(): string {
    SIMPLE_STRING.lastIndex = this.#at;
    if (SIMPLE_STRING.test(this.#text)) {
      const text = this.#text.slice(this.#at + 1, SIMPLE_STRING.lastIndex - 1);
      this.#at = SIMPLE_STRING.lastIndex;
      return text;
    }
    ANY_STRING.lastIndex = this.#at;
    if (!ANY_STRING.test(this.#text)) throw this.#unexpected();
    const text = JSON.parse(this.#text.slice(this.#at, ANY_STRING.lastIndex)) as string;
    this.#at = ANY_STRING.lastIndex;
    if (!text.isWellFormed()) throw new StrictJsonError('it holds a lone surrogate');
    return text;
  }

  #number(): number | WrittenNumber {
    NUMBER.lastIndex = this.#at;
    if (!NUMBER.test(this.#text)) throw this.#unexpected();
    const text = this.#text.slice(this.#at, NUMBER.lastIndex);
    this.#at = NUMBER.lastIndex;
    const value = Number(text);
    return String(value) === text ? value : new WrittenNumber(text);
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw this.#unexpected();
    this.#at += word.length;
    return value;
  }

  /** The next sign that is no blank (RFC 8259 2); stays before it. */
  #next(): string | undefined {
    for (;;) {
      const sign = this.#text[this.#at];
      if (sign !== ' ' && sign !== '\n' && sign !== '\r' && sign !== '\t') return sign;
      this.#at += 1;
    }
  }

  #unexpected(): StrictJsonError {
    return new StrictJsonError(`it is not JSON at character ${this.#at}`);
  }
}

/**
 * The string that a member of the outermost object has, found without parsing the rest; the first one, should there be
 * two. Says nothing about whether the text is JSON.
 */
export function peekString(text: string, name: string): string | undefined {
  let depth = 0;
  let isName = false;
  let found = false;
  for (let at = 0; at < text.length; at++) {
    const sign = text.charCodeAt(at);
    if (sign === QUOTE) {
      const end = endOfString(text, at);
      if (end === -1) return undefined;
      if (depth === 1 && isName) {
        found = unescaped(text.slice(at, end + 1)) === name;
        isName = false;
      } else if (depth === 1 && found) {
        return unescaped(text.slice(at, end + 1));
      }
      at = end;
    } else if (sign === 0x7b || sign === 0x5b) {
      if (found) return undefined;
      depth += 1;
      isName = depth === 1 && sign === 0x7b;
    } else if (sign === 0x7d || sign === 0x5d) {
      depth -= 1;
      if (depth <= 0) return undefined;
    } else if (sign === 0x2c && depth === 1) {
      if (found) return undefined;
      isName = true;
    }
  }
  return undefined;
}

function endOfString(text: string, from: number): number {
  for (let end = text.indexOf('"', from + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let before = end - 1;
    while (text.charCodeAt(before) === BACKSLASH) before -= 1;
    if ((end - before) % 2 === 1) return end;
  }
  return -1;
}

function unescaped(quoted: string): string | undefined {
  if (!quoted.includes('\\')) return quoted.slice(1, -1);
  try {
    return JSON.parse(quoted) as string;
  } catch {
    return undefined;
  }
}

/** A decimal number in a form that two texts share exactly when they say the same number. */
function decimal(text: string): string {
  const [mantissa = '', exponent = '0'] = text.toLowerCase().split('e');
  const [whole = '', fraction = ''] = mantissa.replace('-', '').split('.');
  const digits = (whole + fraction).replace(/^0+/, '');
  const significant = digits.replace(/0+$/, '');
  if (significant === '') return '0';
  const scale = Number(exponent) - fraction.length + (digits.length - significant.length);
  return `${mantissa.startsWith('-') ? '-' : ''}${significant}e${scale}`;
}
