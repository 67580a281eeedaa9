import { SpiffeError } from 'agent-spiffe';

export type Kind = 'id' | 'x509' | 'svid' | 'x509bundle' | 'pem' | 'jwt' | 'jwks';

/** What a judge says of a document. */
export interface Said {
  readonly accept: boolean;
  /** The identity that came out of it. */
  readonly id?: string;
  /** What a bundle holds, in any order. */
  readonly items?: readonly string[];
  /** Why not. */
  readonly error?: string;
}

/** One document that both are to judge. */
export interface Case {
  readonly kind: Kind;
  /** How it was made, for whoever looks into a difference. */
  readonly made: readonly string[];
  /** How the others are asked. */
  readonly question: Readonly<Record<string, unknown>>;
  /** What we say. */
  ours(): Said | Promise<Said>;
}

/** What came out, or why not; what is thrown but is no refusal of ours is a crash and stays one. */
export function said(judge: () => Omit<Said, 'accept'>): Said {
  try {
    return { accept: true, ...judge() };
  } catch (error) {
    return refused(error);
  }
}

export async function saidLater(judge: () => Promise<Omit<Said, 'accept'>>): Promise<Said> {
  try {
    return { accept: true, ...(await judge()) };
  } catch (error) {
    return refused(error);
  }
}

function refused(error: unknown): Said {
  if (!(error instanceof SpiffeError)) throw error;
  return { accept: false, error: error.message };
}

export const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
