import { checkMembers, optionError } from '../options.js';
import { type Confidentiality, checkConfidentiality, type Labels, rankOf } from './labels.js';

/** Where the arguments of a tool go. */
export interface Sink {
  /** The highest confidentiality that may go there. */
  readonly clearance: Confidentiality;
  /** Whether it lies outside: a task that is untrusted sends nothing internal there. */
  readonly outside: boolean;
}

/** A sink as given, `outside` completed, frozen; or `ERR_SPIFFE_OPTION_INVALID`. */
export function checkSink(
  what: string,
  given: Omit<Sink, 'outside'> & Partial<Sink>,
  outsideByDefault: boolean,
): Sink {
  checkMembers(what, given, ['clearance', 'outside']);
  const { clearance, outside = outsideByDefault } = given;
  if (typeof outside !== 'boolean') throw optionError(what, 'outside is true or false');
  return Object.freeze({ clearance: checkConfidentiality(what, clearance), outside });
}

/** Why a task with these labels may send nothing there; `undefined` when it may. */
export function sinkProblem(sink: Sink, labels: Labels): string | undefined {
  const { confidentiality, integrity } = labels;
  if (rankOf(confidentiality) > rankOf(sink.clearance))
    return `the task holds ${confidentiality} data, and the sink takes ${sink.clearance}`;
  if (sink.outside && integrity === 'untrusted' && rankOf(confidentiality) >= rankOf('internal'))
    return `the task has read untrusted data and holds ${confidentiality} data, and the sink lies outside`;
  return undefined;
}
