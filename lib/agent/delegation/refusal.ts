import { peekString } from '../../internal/strict-json.js';
import type { TaskRef } from '../audit/events.js';
import type { GuardCore } from '../core.js';
import type { GrantError } from '../grant/grant-error.js';
import { splitJws } from '../grant/jws.js';

/** What is known of a grant that was refused. */
interface Refused {
  /** The task that was to hold it. */
  readonly task?: TaskRef;
  readonly tool?: string;
  readonly peer?: string | undefined;
  /** Its tokens, where they could be read at all. */
  readonly chain: readonly string[] | undefined;
}

/** Puts the refusal of a grant on record. Where the record fails, the refusal stands all the same. */
export async function recordGrantRefusal(
  { recorder, logger }: GuardCore,
  { step, message: reason }: GrantError,
  { task, tool, peer, chain }: Refused,
): Promise<void> {
  const claimed = chain && claimedIds(chain);
  try {
    await recorder.append({
      kind: 'grant.refuse',
      ...(task && { task }),
      step,
      reason,
      ...(peer !== undefined && { peer }),
      ...(tool !== undefined && { tool }),
      ...(claimed && { claimed }),
    });
  } catch (error) {
    logger.error({ err: error, step }, 'the refusal of a grant was not put on record');
  }
}

/** What tokens that were not taken say of themselves. */
function claimedIds(chain: readonly string[]): readonly string[] | undefined {
  try {
    return chain.slice(0, 16).map((token) => {
      const jti = peekString(splitJws(token, '2c').payload, 'jti');
      return jti === undefined || jti.length > 128 ? '' : jti;
    });
  } catch {
    return undefined;
  }
}
