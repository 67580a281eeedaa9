import { DeniedError, type GuardedTool } from 'agent-spiffe/agent';

/** A guarded tool for the loop of a model, which reads a refusal like any other answer. */
export function forModel<Args>(tool: GuardedTool<Args, string>): (args: Args) => Promise<string> {
  return async (args) => {
    try {
      return await tool(args);
    } catch (error) {
      if (error instanceof DeniedError && error.code === 'ERR_SPIFFE_DENIED')
        return `refused: ${error.reason}`;
      throw error; // the tool's own error; or the task is over, and so is the loop
    }
  };
}
