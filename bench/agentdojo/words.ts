/** A little English, of which neither a suite nor a task is the source: what people call things when they ask for them. */

/** For the verb with which the name of a tool begins, how else one asks for it. */
export const VERBS: Readonly<Record<string, readonly string[]>> = {
  add: ['add', 'invite', 'include'],
  append: ['append', 'add', 'write', 'put', 'insert'],
  cancel: ['cancel', 'call off', 'drop'],
  create: ['create', 'make', 'book', 'set up', 'schedule', 'organize', 'organise', 'plan', 'write'],
  delete: ['delete', 'remove', 'erase', 'trash', 'get rid of'],
  reschedule: ['reschedule', 'move', 'postpone', 'shift', 'delay'],
  schedule: ['schedule', 'set up', 'arrange'],
  send: ['send', 'mail', 'email', 'forward', 'reply', 'pay', 'refund', 'transfer', 'reimburse'],
  share: ['share', 'give access'],
  update: ['update', 'change', 'adjust', 'edit', 'modify', 'correct'],
};

/** For the noun with which the name of a tool ends, what else one calls the thing. */
export const NOUNS: Readonly<Record<string, readonly string[]>> = {
  email: ['email', 'mail', 'message', 'reply'],
  event: ['event', 'appointment', 'meeting', 'call'],
  file: ['file', 'document', 'list', 'drive', 'spreadsheet', 'note'],
  info: ['information', 'info', 'details', 'profile', 'address', 'name'],
  money: ['money', 'bill', 'invoice', 'payment', 'difference', 'amount', 'fee', 'share', 'rent'],
  participants: ['participants', 'attendees', 'guests', 'invitees'],
  password: ['password'],
  transaction: ['transaction', 'payment', 'standing order', 'rent', 'subscription', 'transfer'],
};

/** Verbs that say what is dealt with as well. */
export const VERB_MEANS_NOUN: Readonly<Record<string, string>> = {
  pay: 'money',
  refund: 'money',
  reimburse: 'money',
  transfer: 'money',
  email: 'email',
  invite: 'participants',
};

/** Words that name nothing in particular. */
export const EMPTY_WORDS: ReadonlySet<string> = new Set(
  `a an and any are as at be by can could do does for from had has have how i if in into is it its me more my new no not
of on or our out please so some that the their them then there these they this to two up us was we were what when where
which who will with you your all also more each most much many file files document email emails mail event events meeting
docx xlsx pptx txt pdf csv`.split(/\s+/),
);

export const MONTHS: readonly string[] = [
  'january',
  'february',
  'march',
  'april',
  'may',
  'june',
  'july',
  'august',
  'september',
  'october',
  'november',
  'december',
];

export const DAYS: readonly string[] = [
  'monday',
  'tuesday',
  'wednesday',
  'thursday',
  'friday',
  'saturday',
  'sunday',
];

export const NUMBERS: readonly string[] = [
  'zero',
  'one',
  'two',
  'three',
  'four',
  'five',
  'six',
  'seven',
  'eight',
  'nine',
  'ten',
  'eleven',
  'twelve',
];
