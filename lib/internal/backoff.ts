/** How long to wait between attempts. */
export interface BackoffLimits {
  /** The least first wait, in milliseconds. */
  readonly firstMs: number;
  /** The longest wait, in milliseconds. */
  readonly longestMs: number;
}

/** How far apart the attempts of many clients are spread: the longest wait is half as long again as the shortest. */
const SPREAD = 1.5;

/**
 * The wait before an attempt: doubled with each failure, spread at random so that the clients of a restarted server
 * do not come back in step, and never above the longest.
 *
 * @param failures - how many attempts in a row have failed, from 1.
 * @param random - a number from 0 to below 1.
 */
export function backoffMs(limits: BackoffLimits, failures: number, random: number): number {
  const most = Math.min(limits.longestMs, limits.firstMs * 2 ** (failures - 1) * SPREAD);
  const least = most / SPREAD;
  return least + random * (most - least);
}
