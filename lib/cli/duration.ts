import { InvalidArgumentError } from 'commander';

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3600_000 };

/** Milliseconds of what a person writes: `30s`, `5m`. */
export function parseDuration(text: string): number {
  const [, digits, unit = ''] = /^([0-9]{1,9})(ms|s|m|h)$/.exec(text) ?? [];
  const factor = UNITS[unit];
  if (digits === undefined || factor === undefined) {
    throw new InvalidArgumentError('Give a number and a unit, such as 30s, 5m or 1h.');
  }
  return Number(digits) * factor;
}

export function formatDuration(ms: number): string {
  const unit = ['h', 'm', 's'].find((name) => ms % (UNITS[name] ?? 1) === 0) ?? 'ms';
  return `${ms / (UNITS[unit] ?? 1)}${unit}`;
}
