import { closeSync, constants, openSync, write } from 'node:fs';

/** Group commit and nothing else: what is appended in one turn is one write to a file opened with O_DSYNC. */
export class BareLog {
  readonly #fd: number;
  #waiting: { readonly line: string; readonly resolve: () => void }[] = [];
  #writing = false;
  #position = 0;

  constructor(path: string) {
    this.#fd = openSync(path, constants.O_CREAT | constants.O_WRONLY | constants.O_DSYNC);
  }

  append(line: string): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ line, resolve });
      if (this.#waiting.length === 1 && !this.#writing) process.nextTick(() => this.#write());
    });
  }

  close(): void {
    closeSync(this.#fd);
  }

  #write(): void {
    const group = this.#waiting;
    this.#waiting = [];
    this.#writing = true;
    const bytes = Buffer.from(`${group.map(({ line }) => line).join('\n')}\n`);
    write(this.#fd, bytes, 0, bytes.length, this.#position, (error, written) => {
      if (error !== null || written < bytes.length) throw error ?? new Error('short write');
      this.#position += bytes.length;
      this.#writing = false;
      for (const { resolve } of group) resolve();
      if (this.#waiting.length > 0) process.nextTick(() => this.#write());
    });
  }
}
