import { lstatSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path/posix';

const WELL_FORMED = '';

/** What is wrong with the base of a `path_under`; empty when nothing is. */
export function pathBaseProblem(base: string): string {
  return isPlain(base) ? WELL_FORMED : 'its base is an absolute path without dot segments';
}

/**
 * Whether a path is `base` or lies below it, as written and by the links that are there now. A path that does not
 * exist yet is judged by what exists of it.
 *
 * POSIX paths alone: one that is relative, or is of Windows, means something else to each who opens it, and is refused.
 * Between the check and the use someone with write access below `base` can still put a link there.
 */
export function underPath(base: string): (path: string) => boolean {
  return (path) => {
    if (!isPlain(path) || !isBelow(base, path)) return false;
    const realBase = realPath(base);
    const real = realPath(path);
    return realBase !== undefined && real !== undefined && isBelow(realBase, real);
  };
}

function isPlain(path: string): boolean {
  if (!path.startsWith('/') || /[\0\\]/.test(path)) return false;
  const segments = path.split('/').slice(1);
  if (segments.at(-1) === '') segments.pop();
  return segments.every((segment) => segment !== '' && !isDotted(segment));
}

/** Dots that a careless reader might see after decoding count as dots, and so does an encoded slash. */
function isDotted(segment: string): boolean {
  const decoded = segment.replaceAll(/%(?:25)*2e/gi, '.').replaceAll(/%(?:25)*(?:2f|5c|00)/gi, '/');
  return decoded === '.' || decoded === '..' || decoded.includes('/');
}

function isBelow(base: string, path: string): boolean {
  const prefix = base.endsWith('/') ? base : `${base}/`;
  return path === base || `${path}/` === prefix || path.startsWith(prefix);
}

/** The path without links; what does not exist yet hangs on the nearest directory that does. */
function realPath(path: string): string | undefined {
  const missing: string[] = [];
  let at = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
  for (;;) {
    try {
      return join(realpathSync.native(at), ...missing);
    } catch (error) {
      // A link that leads nowhere yet would be followed by whoever creates the file; and what cannot be looked at cannot be judged.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || isThere(at)) return undefined;
      missing.unshift(at.slice(at.lastIndexOf('/') + 1));
      at = dirname(at);
    }
  }
}

function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
