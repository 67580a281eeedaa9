import { type PeerRule, parsePeerRule } from '../../identity/peer-rule.js';
import type { SpiffeId } from '../../identity/spiffe-id.js';
import { optionError } from '../options.js';
import { isTask, type RevocationSource } from './source.js';

/**
 * A peer rule that refuses tasks which have ended, or of which that is not known, though their SVID has not expired: for
 * `createServer`, `requirePeer`, and wherever else a rule is taken. An ID that is no task's, `<agent>/task/<id>`, is left to
 * `rule`. As every rule of a server it is asked when a connection is made, and by `requirePeer` with each request.
 *
 * @param rule - which peers are accepted at all.
 * @param source - who knows: `guard.revocations` for the tasks of that guard, `RevocationLists` for those of others, or
 * both, joined.
 * @throws SpiffeError `ERR_SPIFFE_PEER_RULE_INVALID`; `ERR_SPIFFE_OPTION_INVALID` for a source without `taskStatus`.
 */
export function liveTasks(rule: PeerRule, source: RevocationSource): (id: SpiffeId) => boolean {
  const accepts = parsePeerRule(rule);
  if (typeof (source as Partial<RevocationSource> | undefined)?.taskStatus !== 'function')
    throw optionError(
      'the source of liveTasks',
      'it knows of no tasks; give guard.revocations, or what RevocationLists.open({ … }) resolved to',
    );
  return function liveTask(id: SpiffeId): boolean {
    return accepts(id) && (!isTask(id.toString()) || source.taskStatus?.(id) === 'active');
  };
}
