import type { Approver } from 'agent-spiffe/agent';
import { askInChat } from './your-chat.js';

/** Give it to `createGuard` as `approver`. */
export const approver: Approver = {
  async ask({ tool, arguments: args, task, by, digest }, { signal }) {
    const question = `${task.purpose}: ${tool} ${JSON.stringify(args)}?`;
    const { person, yes } = await askInChat(by, question, signal);
    return { granted: yes, approver: person, digest }; // the digest says to what they answered
  },
};
