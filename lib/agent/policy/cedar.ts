import { SpiffeError } from '../../errors.js';
import { type Clock, type ClockTimer, SYSTEM_CLOCK } from '../../internal/clock.js';
import type { JsonRecord } from '../../internal/json.js';
import { type Logger, SILENT } from '../../log.js';
import { checkCount, checkJson, checkMembers, optionError } from '../options.js';
import type { ToolDescription } from '../tool-description.js';
import { type PolicyTexts, readPolicies, revisionOf } from './cedar-files.js';
import { type CedarLibrary, loadCedar } from './cedar-library.js';
import { actionOf, cedarCall } from './cedar-request.js';
import { type CedarModel, modelOf } from './cedar-schema.js';
import { type CedarSet, cedarSet, policySet, sliceFor } from './cedar-set.js';
import type { PolicyEngine } from './engine.js';
import type { Decision, DecisionRequest } from './request.js';

/** Options of {@link cedarPolicy}. */
export interface CedarPolicyOptions {
  /** JSON Schema of what the tasks say about the business at hand. Default: policies cannot read it. */
  readonly business?: JsonRecord;
  /** How often a directory is looked at for other policies, in ms, or `false` for never. Default: 5,000. */
  readonly reloadMs?: number | false;
  /** Told when policies were exchanged, or could not be. Default: nobody. */
  readonly logger?: Logger;
}

/** A policy engine that asks Cedar. */
export interface CedarPolicy extends PolicyEngine {
  /**
   * Reads the directory now. Calls are decided by the old set until the new one is known to be good.
   *
   * @throws SpiffeError `ERR_SPIFFE_POLICY_INVALID` when the new set cannot be used; the old one stays in force.
   */
  reload(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Decides by Cedar policies: the `*.cedar` files of a directory, or texts by name. Needs `@cedar-policy/cedar-wasm`,
 * which is loaded with the first task. Each tool is an action in `Action::"tools/call"`.
 *
 * @throws SpiffeError `ERR_SPIFFE_OPTION_INVALID` for options that cannot be taken.
 */
export function cedarPolicy(
  source: string | { readonly policies: Readonly<Record<string, string>> },
  options: CedarPolicyOptions = {},
): CedarPolicy {
  return cedarPolicyWith(source, options, SYSTEM_CLOCK);
}

/** {@link cedarPolicy} by another clock. */
export function cedarPolicyWith(
  source: string | { readonly policies: Readonly<Record<string, string>> },
  options: CedarPolicyOptions,
  clock: Clock,
): CedarPolicy {
  const what = 'the options of the Cedar policies';
  checkMembers(what, options, ['business', 'reloadMs', 'logger']);
  const { business, reloadMs = 5_000, logger = SILENT } = options;
  const policies = checkSource(source);
  return new CedarEngine(
    typeof policies === 'string' ? () => readPolicies(policies) : () => Promise.resolve(policies),
    {
      business: business && checkJson(`${what}, business`, business),
      reloadMs:
        reloadMs === false || typeof policies !== 'string'
          ? undefined
          : checkCount(`${what}, reloadMs`, reloadMs, 1),
      logger,
      clock,
    },
  );
}

function checkSource(
  source: string | { readonly policies: Readonly<Record<string, string>> },
): string | PolicyTexts {
  if (typeof source === 'string' && source !== '') return source;
  const what = 'the source of the Cedar policies';
  if (typeof source === 'string') throw optionError(what, 'it names no directory');
  checkMembers(what, source, ['policies']);
  const texts = checkJson(what, source.policies);
  if (Object.values(texts).every((text) => typeof text === 'string')) return texts as PolicyTexts;
  throw optionError(what, 'each of the policies is text');
}

interface Settings {
  readonly business: JsonRecord | undefined;
  readonly reloadMs: number | undefined;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** What decides: exchanged whole. */
interface InForce {
  readonly set: CedarSet;
  /** The pre-parsed set of each action. */
  readonly slices: ReadonlyMap<string, string>;
}

/** Cedar never frees a pre-parsed set, but takes another under the same name: names are used again. */
const freePrefixes: number[] = [];
let prefixes = 0;

class CedarEngine implements CedarPolicy {
  readonly #read: () => Promise<PolicyTexts>;
  readonly #settings: Settings;
  readonly #prefix: number;
  #cedar: CedarLibrary | undefined;
  #model: CedarModel | undefined;
  #inForce: InForce | undefined;
  #timer: ClockTimer | undefined;
  #reloading: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(read: () => Promise<PolicyTexts>, settings: Settings) {
    this.#read = read;
    this.#settings = settings;
    this.#prefix = freePrefixes.pop() ?? prefixes++;
  }

  get revision(): string {
    return this.#inForce?.set.revision ?? 'none';
  }

  async prepare(tools: readonly ToolDescription[]): Promise<void> {
    if (this.#model !== undefined || this.#closed) {
      throw new SpiffeError(
        'ERR_SPIFFE_POLICY_INVALID',
        'cannot prepare Cedar policies twice, or once they are closed: give each guard its own',
      );
    }
    const model = modelOf(tools, this.#settings.business);
    const cedar = await loadCedar();
    const texts = await this.#read();
    this.#enforce(cedar, model, cedarSet(cedar, texts, model));
    this.#cedar = cedar;
    this.#model = model;
    this.#schedule();
  }

  decide(request: DecisionRequest): Decision {
    const [cedar, model] = [this.#cedar, this.#model];
    const slice = this.#inForce?.slices.get(actionOf(request));
    if (cedar === undefined || model === undefined || slice === undefined || this.#closed)
      return denied('no policy is in force for this action');
    try {
      const answer = cedar.statefulIsAuthorized(cedarCall(request, model, slice));
      if (answer.type === 'failure')
        return denied(answer.errors.map(({ message }) => message).join('; '));
      return this.#decisionOf(answer.response);
    } catch (error) {
      return denied(error instanceof Error ? error.message : String(error));
    }
  }

  reload(): Promise<void> {
    // One after another: what was read first must not come into force last.
    const reload = this.#reloading.then(() => this.#reload());
    this.#reloading = reload.catch(() => {});
    return reload;
  }

  async #reload(): Promise<void> {
    const [cedar, model] = [this.#cedar, this.#model];
    if (cedar === undefined || model === undefined) return;
    const texts = await this.#read();
    const before = this.revision;
    if (this.#closed || revisionOf(texts) === before) return;
    this.#enforce(cedar, model, cedarSet(cedar, texts, model));
    this.#settings.logger.info({ before, revision: this.revision }, 'other policies are in force');
  }

  close(): Promise<void> {
    this.#settings.clock.clearTimeout(this.#timer);
    if (!this.#closed) freePrefixes.push(this.#prefix);
    this.#closed = true;
    return Promise.resolve();
  }

  /** In one turn, so that no decision sees half of it. */
  #enforce(cedar: CedarLibrary, model: CedarModel, set: CedarSet): void {
    const names = new Map<string, string>();
    const slices = new Map<string, string>();
    for (const action of model.contexts.keys()) {
      const policies = sliceFor(set, action);
      const key = JSON.stringify(policies.map(({ id }) => id));
      let name = names.get(key);
      if (name === undefined) {
        name = `agent-spiffe/${this.#prefix}/${names.size}`;
        names.set(key, name);
        // Each policy was parsed before: this cannot fail half-way.
        cedar.preparsePolicySet(name, policySet(policies));
      }
      slices.set(action, name);
    }
    this.#inForce = { set, slices };
  }

  #decisionOf(response: {
    readonly decision: 'allow' | 'deny';
    readonly diagnostics: {
      readonly reason: readonly string[];
      readonly errors: readonly {
        readonly policyId: string;
        readonly error: { readonly message: string };
      }[];
    };
  }): Decision {
    const { errors } = response.diagnostics;
    // Cedar gives them in any order.
    const reason = response.diagnostics.reason.toSorted();
    if (errors.length > 0) {
      // Cedar skips a policy that errs, a forbid too: what it might have refused must not pass.
      const reasons = errors.map(({ policyId }) => policyId);
      return denied(errors.map(({ error }) => error.message).join('; '), reasons);
    }
    if (response.decision !== 'allow') return { decision: false, context: { reasons: reason } };
    const { policies } = (this.#inForce as InForce).set;
    const obligations = reason.flatMap((id) => policies.get(id)?.obligations ?? []);
    return {
      decision: true,
      context: { reasons: reason, ...(obligations.length > 0 && { obligations }) },
    };
  }

  #schedule(): void {
    const { reloadMs, clock, logger } = this.#settings;
    if (reloadMs === undefined || this.#closed) return;
    this.#timer = clock.setTimeout(() => {
      void this.reload()
        .catch((error: unknown) =>
          logger.error({ err: error, revision: this.revision }, 'the policies in force stay'),
        )
        .finally(() => this.#schedule());
    }, reloadMs);
    if (typeof this.#timer === 'object') this.#timer.unref();
  }
}

function denied(error: string, reasons: readonly string[] = []): Decision {
  return { decision: false, context: { reasons, error } };
}
