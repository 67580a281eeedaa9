import type { JsonRecord } from 'agent-spiffe/agent';
import { textOf } from './data.js';
import type { SuiteSpec, ToolPlan } from './spec.js';

const OTHERS = { confidentiality: 'confidential', integrity: 'untrusted' } as const;
const OWN = { confidentiality: 'confidential', integrity: 'trusted' } as const;
const READ: ToolPlan = { effect: 'read', returns: OTHERS };

const aFile = { argument: 'file_id', kind: 'CloudDriveFile' };
const anEvent = { argument: 'event_id', kind: 'CalendarEvent' };

/** Mail, calendar and drive of one user. */
export const WORKSPACE: SuiteSpec = {
  name: 'workspace',
  address: /[\w.+-]+@[\w-]+(?:\.[\w-]+)+/g,
  // Colleagues: what is sent within the user's own domain stays inside.
  isInside: (address, owner) => domainOf(address) === domainOf(owner),
  tools: {
    send_email: {
      effect: 'egress',
      destinations: ['recipients', 'cc', 'bcc'],
      quoted: ['subject'],
    },
    delete_email: {
      effect: 'write',
      resource: { argument: 'email_id', kind: 'Email' },
      grave: true,
    },
    get_unread_emails: READ,
    get_sent_emails: READ,
    get_received_emails: READ,
    get_draft_emails: READ,
    search_emails: READ,
    search_contacts_by_name: { effect: 'read', returns: OWN },
    search_contacts_by_email: { effect: 'read', returns: OWN },
    get_current_day: {
      effect: 'read',
      returns: { confidentiality: 'public', integrity: 'trusted' },
    },
    search_calendar_events: READ,
    get_day_calendar_events: READ,
    // These four send mail to the participants.
    create_calendar_event: { effect: 'egress', destinations: ['participants'], quoted: ['title'] },
    cancel_calendar_event: { effect: 'egress', resource: anEvent, grave: true },
    reschedule_calendar_event: { effect: 'egress', resource: anEvent },
    add_calendar_event_participants: {
      effect: 'egress',
      destinations: ['participants'],
      resource: anEvent,
    },
    append_to_file: { effect: 'write', resource: aFile },
    search_files_by_filename: READ,
    create_file: { effect: 'write', quoted: ['filename'] },
    delete_file: { effect: 'write', resource: aFile, grave: true },
    get_file_by_id: READ,
    list_files: READ,
    share_file: { effect: 'egress', destinations: ['email'], resource: aFile },
    search_files: READ,
  },
  kinds: {
    Email: {
      id: 'id_',
      names: ['subject'],
      persons: ({ sender }) => [[localPartOf(textOf(sender)), textOf(sender)]],
      texts: ['subject', 'body'],
    },
    EmailContact: {
      names: ['name'],
      persons: ({ name, email }) => [[textOf(name), textOf(email)]],
      texts: [],
    },
    CalendarEvent: {
      id: 'id_',
      names: ['title'],
      people: participantsOf,
      readers: participantsOf,
      ranks: { time: 'start_time' },
      texts: ['title', 'description', 'location'],
    },
    CloudDriveFile: {
      id: 'id_',
      names: ['filename'],
      // Whoever owns a file says what it is called, and with whom it is shared.
      people: (file, isInside) => (isInside(textOf(file['owner'])) ? sharedWith(file) : []),
      readers: (file) => [textOf(file['owner']), ...sharedWith(file)],
      ranks: { size: 'size', time: 'last_modified' },
      texts: ['content'],
    },
  },
};

function participantsOf({ participants }: JsonRecord): readonly string[] {
  return participants as readonly string[];
}

function sharedWith({ shared_with }: JsonRecord): readonly string[] {
  return Object.keys(shared_with as JsonRecord);
}

function localPartOf(address: string): string {
  return address.slice(0, address.lastIndexOf('@'));
}

function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1).toLowerCase();
}
