import type { GuardCore } from './core.js';

/** Follows the identity of a guard: a rotation goes on record, its loss is told. Resolves when there is no more to follow. */
export async function watchIdentity(
  { identity, recorder, logger }: GuardCore,
  signal: AbortSignal,
  lost: (why: string, cause?: unknown) => void,
): Promise<void> {
  let serial: string | undefined;
  try {
    for await (const { state, svid } of identity.x509.updates({ signal })) {
      if (state === 'revoked' || state === 'failed' || state === 'closed')
        lost(`the source of the identity is ${state}`);
      if (svid === undefined || svid.serialNumber === serial) continue;
      const rotated = serial !== undefined;
      serial = svid.serialNumber;
      if (rotated) {
        const notAfter = svid.notAfter.getTime();
        recorder
          .append({ kind: 'rotation', serialNumber: serial, notAfter })
          .catch((err: unknown) => {
            logger.error({ err }, 'a rotation was not put on record');
          });
      }
    }
  } catch (error) {
    if (signal.aborted) return;
    lost('the source of the identity failed', error);
    logger.error({ err: error }, 'the source of the identity failed');
  }
}
