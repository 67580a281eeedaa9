import type { ActionConstraint, DetailedError, Expr } from '@cedar-policy/cedar-wasm/nodejs';
import { SpiffeError } from '../../errors.js';
import { quote } from '../../internal/quote.js';
import { type PolicyTexts, revisionOf } from './cedar-files.js';
import type { CedarLibrary } from './cedar-library.js';
import { obligationsOf } from './cedar-obligations.js';
import { CALL_ACTION, type CedarModel, isLabelAction } from './cedar-schema.js';
import type { Obligation } from './request.js';

/** One policy, read and understood. */
export interface CedarPolicyEntry {
  /** Its `@id`, or its file and its place there, counted from 1. */
  readonly id: string;
  readonly text: string;
  readonly obligations: readonly Obligation[];
  /** The actions it names; absent when it is about all. */
  readonly actions?: ReadonlySet<string>;
  /** The expressions of its `when` and `unless`. */
  readonly conditions: readonly Expr[];
}

/** A set of policies that fits a model. */
export interface CedarSet {
  readonly revision: string;
  readonly policies: ReadonlyMap<string, CedarPolicyEntry>;
  /** What is valid and hardly meant: a policy that never applies, a text in which letters of two scripts look alike. */
  readonly doubts: readonly { readonly policy: string; readonly why: string }[];
}

/**
 * Reads a set of policies and validates it.
 *
 * @throws SpiffeError `ERR_SPIFFE_POLICY_INVALID`, which names the file, the policy, and what is wrong.
 */
export function cedarSet(cedar: CedarLibrary, texts: PolicyTexts, model: CedarModel): CedarSet {
  const policies = new Map<string, CedarPolicyEntry>();
  const files = new Map<string, string>();
  for (const [file, text] of Object.entries(texts)) {
    for (const policy of parseFile(cedar, file, text)) {
      const { id } = policy;
      if (policies.has(id))
        throw invalid(file, id, `the policy of this id in ${quote(files.get(id))} bears it too`);
      policies.set(id, policy);
      files.set(id, file);
    }
  }
  if (policies.size === 0) {
    throw new SpiffeError(
      'ERR_SPIFFE_POLICY_INVALID',
      'cannot use a set without any policy: it would deny everything; add a .cedar file with a permit',
    );
  }
  const answer = cedar.validate({ schema: model.schema, policies: policySet(policies.values()) });
  if (answer.type === 'failure') throw invalid('the set', undefined, told(answer.errors));
  const [first] = answer.validationErrors;
  if (first !== undefined)
    throw invalid(files.get(first.policyId) ?? '', first.policyId, told([first.error]));
  const doubts = answer.validationWarnings.map(({ policyId, error }) => ({
    policy: policyId,
    why: told([error]),
  }));
  return { revision: revisionOf(texts), policies, doubts };
}

/** The policies that can have a say about an action, in the form that Cedar takes. Ids are by record: it ignores `@id`. */
export function sliceFor(set: CedarSet, action: string): readonly CedarPolicyEntry[] {
  const isCall = !isLabelAction(action);
  return [...set.policies.values()].filter(
    ({ actions }) => actions?.has(action) !== false || (isCall && actions.has(CALL_ACTION)),
  );
}

/** Policies in the form that Cedar takes. */
export function policySet(policies: Iterable<CedarPolicyEntry>): {
  staticPolicies: Record<string, string>;
} {
  return { staticPolicies: Object.fromEntries([...policies].map(({ id, text }) => [id, text])) };
}

function parseFile(cedar: CedarLibrary, file: string, text: string): readonly CedarPolicyEntry[] {
  const parts = cedar.policySetTextToParts(text);
  if (parts.type === 'failure') throw invalid(file, undefined, told(parts.errors, text));
  if (parts.policy_templates.length > 0)
    throw invalid(file, undefined, 'it holds a template, and nothing here links one');
  // Cedar gives them sorted by the text of their numbers: 0, 1, 10, 11, 2.
  const places = parts.policies.map((_, place) => String(place)).toSorted();
  return parts.policies
    .map((policy, at) => ({ policy, place: Number(places[at]) + 1 }))
    .toSorted((one, other) => one.place - other.place)
    .map(({ policy, place }) => entryOf(cedar, file, place, policy));
}

function entryOf(cedar: CedarLibrary, file: string, place: number, text: string): CedarPolicyEntry {
  const numbered = `${file}#${place}`;
  const answer = cedar.policyToJson(text);
  if (answer.type === 'failure') throw invalid(file, numbered, told(answer.errors));
  const { effect, action, annotations = {}, conditions } = answer.json;
  const id = annotations['id'] ?? numbered;
  if (id === '' || id === '__proto__') throw invalid(file, numbered, 'its @id is no name');
  const actions = actionsOf(action);
  try {
    const obligations = obligationsOf(effect, annotations);
    return {
      id,
      text,
      obligations,
      ...(actions && { actions }),
      conditions: conditions.map(({ body }) => body),
    };
  } catch (error) {
    throw invalid(file, id, (error as Error).message);
  }
}

function actionsOf(constraint: ActionConstraint): ReadonlySet<string> | undefined {
  if (constraint.op === 'All') return undefined;
  const named =
    'entities' in constraint
      ? constraint.entities
      : 'entity' in constraint
        ? [constraint.entity]
        : [];
  return new Set(named.map((uid) => ('__entity' in uid ? uid['__entity'].id : uid.id)));
}

function invalid(file: string, policy: string | undefined, why: string): SpiffeError {
  const which = policy === undefined ? '' : `the policy ${quote(policy)} of `;
  return new SpiffeError('ERR_SPIFFE_POLICY_INVALID', `cannot use ${which}${quote(file)}: ${why}`);
}

function told(errors: readonly DetailedError[], text?: string): string {
  return errors
    .map(({ message, help, sourceLocations }) => {
      const start = sourceLocations?.[0]?.start;
      const line =
        text === undefined || start === undefined
          ? ''
          : ` in line ${Buffer.from(text).subarray(0, start).toString().split('\n').length}`;
      return `${message}${line}${help === null ? '' : ` (${help})`}`;
    })
    .join('; ');
}
