import type { Logger } from 'agent-spiffe';

/** One thing that was logged. */
export interface LogLine {
  readonly level: keyof Logger;
  readonly fields: object;
  readonly message: string;
}

/** A logger that keeps what it is told. */
export class RecordingLogger implements Logger {
  readonly lines: LogLine[] = [];

  debug = (fields: object, message: string): void => this.#add('debug', fields, message);
  info = (fields: object, message: string): void => this.#add('info', fields, message);
  warn = (fields: object, message: string): void => this.#add('warn', fields, message);
  error = (fields: object, message: string): void => this.#add('error', fields, message);

  at(level: keyof Logger): readonly LogLine[] {
    return this.lines.filter((line) => line.level === level);
  }

  #add(level: keyof Logger, fields: object, message: string): void {
    this.lines.push({ level, fields, message });
  }
}
