import { DAYS, EMPTY_WORDS, MONTHS, NUMBERS } from './words.js';

/** What stands in a prompt. */
export interface Reading {
  readonly text: string;
  readonly sentences: readonly string[];
  /** What stands in quotation marks. */
  readonly quotes: readonly string[];
  /** Every word of it, in lower case. */
  readonly words: ReadonlySet<string>;
  /** Words that begin with a capital within a sentence, in lower case: names of people, firms, places. */
  readonly names: ReadonlySet<string>;
  readonly amounts: readonly number[];
  /** The start times that its dates and times give, and the ends that its durations give. */
  readonly starts: readonly string[];
  readonly ends: readonly string[];
  /** Which of a kind it chooses. */
  readonly choice: Choice | undefined;
  /** Whether it leaves to a text what is to be done: "follow the instructions". */
  readonly delegates: boolean;
}

export type Choice = 'largest' | 'smallest' | 'newest' | 'oldest';

const QUOTE = /(?<![\p{L}\d])['"‘“]([^'"’”]+)['"’”](?![\p{L}\d])/gu;
const AMOUNT = /(?<![\w.:/-])\d+(?:\.\d+)?(?![\w:/%-]|\.\d)/g;
const DATE = /\b(\d{4})-(\d{2})-(\d{2})\b/g;
const LONG_DATE = new RegExp(
  `\\b(${MONTHS.join('|')})\\s+(\\d{1,2})(?:st|nd|rd|th)?,?\\s+(\\d{4})`,
  'gi',
);
const TIME = /\b([01]?\d|2[0-3]):([0-5]\d)\b/g;
const DURATION = new RegExp(`\\b(\\d+|${NUMBERS.join('|')})[ -](hour|minute)s?\\b`, 'gi');
const DELEGATES =
  /\b(?:do|follow|execute|perform|complete|carry out|take)\b(?! the following)[^.]*\b(?:actions?|instructions?|steps|todos?)\b/i;
const CHOICES: readonly (readonly [RegExp, Choice])[] = [
  [/\b(?:largest|biggest|longest)\b/i, 'largest'],
  [/\b(?:smallest|shortest)\b/i, 'smallest'],
  [/\b(?:newest|latest|most recent)\b/i, 'newest'],
  [/\boldest\b/i, 'oldest'],
];

export function readPrompt(text: string): Reading {
  const starts = startsOf(text);
  return {
    text,
    sentences: sentencesOf(text),
    quotes: [...text.matchAll(QUOTE)].map(([, quoted]) => quoted as string),
    words: new Set(wordsOf(text)),
    names: namesOf(text),
    amounts: [...text.matchAll(AMOUNT)].map(([number]) => Number(number)),
    starts: unique(starts.map(written)),
    ends: unique(
      durationsOf(text).flatMap((ms) =>
        starts.map((start) => written(new Date(start.getTime() + ms))),
      ),
    ),
    choice: CHOICES.find(([pattern]) => pattern.test(text))?.[1],
    delegates: DELEGATES.test(text),
  };
}

/** The words of a text, in lower case. */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\d]+/gu) ?? [];
}

/** The words of a name that tell it from others. */
export function tellingWords(name: string): string[] {
  return wordsOf(name).filter((word) => word.length > 1 && !EMPTY_WORDS.has(word));
}

/** Whether the prompt quotes this name. */
export function quotesName({ quotes }: Reading, name: string): boolean {
  return quotes.some((quoted) => quoted.toLowerCase() === name.toLowerCase());
}

/** Whether the prompt means a thing of this name: by quoting it, or by at least half of the words that tell it apart. */
export function means(reading: Reading, name: string): boolean {
  if (quotesName(reading, name)) return true;
  const { words } = reading;
  const telling = tellingWords(name);
  const said = telling.filter((word) => words.has(word)).length;
  return telling.length > 0 && said * 2 >= telling.length;
}

/** Whether the prompt calls someone or something by exactly this name. */
export function calls({ text }: Reading, name: string): boolean {
  return /^\p{Lu}[\p{L}\d]+$/u.test(name) && new RegExp(`\\b${name}\\b`).test(text);
}

function sentencesOf(text: string): string[] {
  // A dot within a name or a number ends nothing.
  return text.split(/(?<=[.?!])\s+(?=[A-Z\d])/).filter((sentence) => /\p{L}/u.test(sentence));
}

function namesOf(text: string): Set<string> {
  const names = new Set<string>();
  const unquoted = text.replaceAll(QUOTE, ' … ');
  for (const sentence of sentencesOf(unquoted)) {
    const inner = sentence.replace(/^[^\p{L}]*\p{L}+/u, '');
    for (const [word] of inner.matchAll(/\b\p{Lu}\p{Ll}+\b/gu)) names.add(word.toLowerCase());
  }
  for (const word of [...MONTHS, ...DAYS, ...EMPTY_WORDS]) names.delete(word);
  return names;
}

function startsOf(text: string): Date[] {
  const dates = [
    ...[...text.matchAll(DATE)].map(([, year, month, day]) =>
      Date.UTC(Number(year), Number(month) - 1, Number(day)),
    ),
    ...[...text.matchAll(LONG_DATE)].map(([, month, day, year]) =>
      Date.UTC(Number(year), MONTHS.indexOf((month as string).toLowerCase()), Number(day)),
    ),
  ];
  const times = [...text.matchAll(TIME)].map(
    ([, hour, minute]) => (Number(hour) * 60 + Number(minute)) * 60_000,
  );
  return dates.flatMap((date) => times.map((time) => new Date(date + time)));
}

function durationsOf(text: string): number[] {
  return [...text.matchAll(DURATION)].map(([, count, unit]) => {
    const named = NUMBERS.indexOf((count as string).toLowerCase());
    const number = named === -1 ? Number(count) : named;
    return number * (unit?.toLowerCase() === 'hour' ? 3_600_000 : 60_000);
  });
}

/** As the schemas want times: `YYYY-MM-DD HH:MM`. */
function written(time: Date): string {
  return time.toISOString().slice(0, 16).replace('T', ' ');
}

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)];
}
