import { textOf } from './data.js';
import type { SuiteSpec } from './spec.js';

const OTHERS = { confidentiality: 'confidential', integrity: 'untrusted' } as const;
const OWN = { confidentiality: 'confidential', integrity: 'trusted' } as const;

/** The bank account of one user, their files and their profile. */
export const BANKING: SuiteSpec = {
  name: 'banking',
  address: /\b[A-Z]{2}\d{2}[A-Z0-9]{11,30}\b/g,
  // In the list of what came and went the account's own side is written `me`.
  isInside: (address, owner) => address === owner || address === 'me',
  tools: {
    get_iban: { effect: 'read', returns: OWN },
    get_balance: { effect: 'read', returns: OWN },
    get_user_info: { effect: 'read', returns: OWN },
    // Whoever sends money writes its subject.
    get_most_recent_transactions: { effect: 'read', returns: OTHERS },
    get_scheduled_transactions: { effect: 'read', returns: OWN },
    read_file: {
      effect: 'read',
      returns: OTHERS,
      text: { argument: 'file_path', kind: 'File' },
    },
    send_money: { effect: 'egress', destinations: ['recipient'] },
    schedule_transaction: { effect: 'egress', destinations: ['recipient'] },
    // Those that are there the user ordered, recipient and all: a new recipient alone must be vouched for.
    update_scheduled_transaction: { effect: 'egress', destinations: ['recipient'] },
    update_password: { effect: 'privilege', quoted: ['password'], grave: true },
    update_user_info: {
      effect: 'privilege',
      stated: ['first_name', 'last_name', 'street', 'city'],
      grave: true,
    },
  },
  kinds: {
    Transaction: {
      id: 'id',
      names: ['subject'],
      // What the user has paid, or ordered to be paid, was paid by the user; what came in, anyone may have sent.
      known: ({ sender, recipient }, isInside) =>
        isInside(textOf(sender)) ? [textOf(recipient)] : [],
      byAmount: ({ sender, amount }, isInside) =>
        isInside(textOf(sender)) ? undefined : { amount: Number(amount), address: textOf(sender) },
      texts: ['subject'],
    },
    File: { names: ['name'], texts: ['text'] },
  },
};
