import { cedarPolicy } from 'agent-spiffe/agent';

/** Policies from a directory that may read the ticket of a task; give it to a guard as `policy`. */
export const policy = cedarPolicy('./policies', {
  business: { type: 'object', properties: { ticket: { type: 'string' } } },
});
