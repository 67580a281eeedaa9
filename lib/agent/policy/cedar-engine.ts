import { SpiffeError } from '../../errors.js';
import type { Clock, ClockTimer } from '../../internal/clock.js';
import type { JsonRecord } from '../../internal/json.js';
import { quote } from '../../internal/quote.js';
import type { Logger } from '../../log.js';
import type { RecordedRequest } from '../audit/recorded.js';
import type { ToolDescription } from '../tool-description.js';
import { type PolicyTexts, revisionOf } from './cedar-files.js';
import { type CedarLibrary, loadCedar } from './cedar-library.js';
import { type Reads, readsOf } from './cedar-reads.js';
import { actionOf, cedarCall, lacking, neededOf, type Slice, sliceOf } from './cedar-request.js';
import { type CedarModel, modelOf } from './cedar-schema.js';
import { type CedarSet, cedarSet, policySet, sliceFor } from './cedar-set.js';
import type { PolicyEngine } from './engine.js';
import type { Decision, DecisionRequest } from './request.js';

/** How policies are read and exchanged, judged already. */
export interface Settings {
  readonly business: JsonRecord | undefined;
  readonly reloadMs: number | undefined;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** What decides: exchanged whole. */
interface InForce {
  readonly set: CedarSet;
  /** The part of each action. */
  readonly slices: ReadonlyMap<string, Slice>;
}

/** Cedar never frees a pre-parsed set, but takes another under the same name: names are used again. */
const freePrefixes: number[] = [];
let prefixes = 0;

/** Decides by Cedar policies. */
export class CedarEngine implements PolicyEngine {
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

  async prepare(tools: readonly Pick<ToolDescription, 'name' | 'inputSchema'>[]): Promise<void> {
    this.#refuseSecond();
    const model = modelOf(tools, this.#settings.business);
    const cedar = loadCedar();
    const texts = await this.#read();
    // It may have been closed meanwhile: what would be parsed under its names now would be decided by in another guard.
    this.#refuseSecond();
    this.#enforce(cedar, model, cedarSet(cedar, texts, model));
    this.#cedar = cedar;
    this.#model = model;
    this.#schedule();
  }

  #refuseSecond(): void {
    if (this.#model === undefined && !this.#closed) return;
    throw new SpiffeError(
      'ERR_SPIFFE_POLICY_INVALID',
      'cannot prepare Cedar policies twice, or once they are closed: give each guard its own',
    );
  }

  decide(request: DecisionRequest): Decision {
    return this.#decide(request, this.#slice(request));
  }

  /** Decides without what a record does not hold; names what of that the policies read, where they do. */
  decideRecorded(recorded: RecordedRequest): Decision | { readonly needed: readonly string[] } {
    const { request, missing } = recorded;
    const slice = this.#slice(request);
    if (slice === undefined) return { needed: [`the definition of ${quote(actionOf(request))}`] };
    const needed = neededOf(slice, recorded);
    return needed.length > 0 ? { needed } : this.#decide(request, lacking(slice, missing));
  }

  /** The policies that have a say about a request; `undefined` where none are in force for its action. */
  #slice(request: DecisionRequest): Slice | undefined {
    return this.#closed ? undefined : this.#inForce?.slices.get(actionOf(request));
  }

  #decide(request: DecisionRequest, slice: Slice | undefined): Decision {
    const cedar = this.#cedar;
    if (cedar === undefined || slice === undefined)
      return denied('no policy is in force for this action');
    try {
      const answer = cedar.statefulIsAuthorized(cedarCall(request, slice));
      if (answer.type === 'failure')
        return denied(answer.errors.map(({ message }) => message).join('; '));
      return this.#decisionOf(answer.response);
    } catch (error) {
      return denied(error instanceof Error ? error.message : String(error));
    }
  }

  /**
   * Reads the policies now. Calls are decided by the old set until the new one is known to be good.
   *
   * @throws SpiffeError `ERR_SPIFFE_POLICY_INVALID` when the new set cannot be used; the old one stays in force.
   */
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
    const parsed = new Map<string, { readonly name: string; readonly reads: Reads }>();
    const slices = new Map<string, Slice>();
    for (const action of model.contexts.keys()) {
      const policies = sliceFor(set, action);
      const key = JSON.stringify(policies.map(({ id }) => id));
      let part = parsed.get(key);
      if (part === undefined) {
        const name = `agent-spiffe/${this.#prefix}/${parsed.size}`;
        part = { name, reads: readsOf(policies.flatMap(({ conditions }) => conditions)) };
        parsed.set(key, part);
        // Each policy was parsed before: this cannot fail half-way.
        cedar.preparsePolicySet(name, policySet(policies));
      }
      slices.set(action, sliceOf(model, action, part.name, part.reads));
    }
    this.#inForce = { set, slices };
    for (const doubt of set.doubts)
      this.#settings.logger.warn(doubt, `a policy is hardly meant so: ${doubt.why}`);
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
