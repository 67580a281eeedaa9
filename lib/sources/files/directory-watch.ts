import { type FSWatcher, watch } from 'node:fs';

const NOT_THERE: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR']);

/** Tells of changes in some directories, as far as the operating system does: not on every file system, not always. */
export class DirectoryWatch {
  readonly #changed: () => void;
  readonly #failed: (error: unknown) => void;
  #watchers: readonly FSWatcher[] = [];

  /** Neither may throw. */
  constructor(changed: () => void, failed: (error: unknown) => void) {
    this.#changed = changed;
    this.#failed = failed;
  }

  /**
   * Watches what is at these paths now. To be called anew before each look: a directory that was replaced tells nothing
   * any more, and is not always seen to go.
   */
  arm(paths: readonly string[]): void {
    const before = this.#watchers;
    this.#watchers = paths.flatMap((path) => this.#watch(path));
    // After the new ones are up, so that nothing happens unseen.
    for (const watcher of before) watcher.close();
  }

  close(): void {
    this.arm([]);
  }

  #watch(path: string): FSWatcher[] {
    try {
      const watcher = watch(path, () => this.#changed());
      watcher.on('error', (error) => this.#failed(error));
      return [watcher];
    } catch (error) {
      // What is not there is missed by whoever looks for it.
      if (!NOT_THERE.has((error as NodeJS.ErrnoException).code)) this.#failed(error);
      return [];
    }
  }
}
