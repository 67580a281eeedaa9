import {
  type GrantPresentation,
  type GrantPresentationJson,
  presentationToHeaders,
  presentationToJson,
} from '../grant/presentation.js';

/** For whom a call is. */
export interface ShowGrantOptions {
  /** The SPIFFE ID of the service that the call goes to: a proof for it is of no use anywhere else. */
  readonly audience: string;
  /** What that service gave out to be shown here, where it asks for it. */
  readonly nonce?: string;
}

/** What goes with one call: its arguments as they must be sent, the task's grant, and the proof. Good for half a minute, once. */
export class CallGrant {
  /** The arguments, to be sent just so. */
  readonly argsJson: string;
  readonly #presentation: GrantPresentation;

  /** @internal */
  constructor(argsJson: string, presentation: GrantPresentation) {
    this.argsJson = argsJson;
    this.#presentation = presentation;
    Object.freeze(this);
  }

  /**
   * The pair of HTTP headers.
   *
   * @throws GrantError with the step `presentation` when they would be longer than 12 KiB.
   */
  headers(): Record<string, string> {
    return { ...presentationToHeaders(this.#presentation) };
  }

  /** The JSON form, for a body or for `_meta`. */
  toJSON(): GrantPresentationJson {
    return presentationToJson(this.#presentation);
  }
}
