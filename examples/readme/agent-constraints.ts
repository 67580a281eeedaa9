import {
  allArguments,
  exact,
  oneOf,
  optional,
  pathUnder,
  range,
  type TaskOptions,
  urlUnder,
  wildcard,
} from 'agent-spiffe/agent';

/** The `tools` of a task: what it may call, and with which arguments. */
export const tools: TaskOptions['tools'] = {
  read_file: { path: pathUnder('/srv/tickets/42') }, // no `..`, no link that leads out
  call_api: {
    url: urlUnder('https://crm.internal/customers/acme'),
    method: optional(exact('GET')),
  },
  pay: {
    to: oneOf('DE89370400440532013000'),
    cents: range({ min: 1, max: 5_000 }),
    note: wildcard(),
  },
  status: allArguments(), // said, never assumed
};
