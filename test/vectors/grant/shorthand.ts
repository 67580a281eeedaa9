import type { Json, JsonMap, Link } from './craft.js';
import { type Call, type CallChanges, call, chain, details } from './world.js';

/** A root with other claims, or made in another way; shown alone. */
export const root = (set: JsonMap): Call => call({ tokens: chain([{ set }]) });
export const rootBy = (link: Link): Call => call({ tokens: chain([link]) });
/** A child of a good root. */
export const child = (set: JsonMap): Call => call({ tokens: chain([{}, { set }]) });
export const childBy = (link: Link): Call => call({ tokens: chain([{}, link]) });
/** Claims with other tools. */
export const tools = (map: Json): JsonMap => ({ authorization_details: details(map) });
export const send = (map: Json): JsonMap => tools({ send: map });
/** A proof that is made in another way. */
export const proof = (link: Link, more: CallChanges = {}): Call => call({ ...more, proof: link });
export const jti = (id: string): CallChanges => ({ proof: { set: { jti: id } } });
