import { ProtocolError, ProtocolErrorCode } from "@modelcontextprotocol/server";

/**
 * The start of the SDK's errors about messages that break the protocol. They have no type and no code, so only their words
 * tell them from the server's faults. `test/doors/stdio.test.ts` and `mcp.test.ts` send such messages to the real SDK.
 */
const REFUSED = /^(?:Rejected|Discarded a) /;

/** Whether the client caused an error of the SDK; else the fault is the server's. */
export function isClientFault(error: Error): boolean {
  return error instanceof ProtocolError || REFUSED.test(error.message);
}

/** A code of the revision 2026-07-28; the SDK has no name for it. */
const HEADER_MISMATCH = -32020;

const UNKNOWN_REVISION = "its protocol revision is not known here";

const reasons: Readonly<Record<number, string>> = {
  [ProtocolErrorCode.ParseError]: "it is not a JSON-RPC message",
  [ProtocolErrorCode.InvalidRequest]: "it is not a JSON-RPC message",
  [ProtocolErrorCode.MethodNotFound]: "there is no such method here",
  [ProtocolErrorCode.InvalidParams]: "its params do not fit its protocol revision",
  [ProtocolErrorCode.UnsupportedProtocolVersion]: UNKNOWN_REVISION,
  [HEADER_MISMATCH]: "its header fields are incomplete, or contradict its body",
};

/** By status, if the SDK has no code of its own. */
const reasonsByStatus: Readonly<Record<number, string>> = {
  400: UNKNOWN_REVISION,
};

/**
 * Tells the log why the SDK answered a message with an error, in words that repeat nothing of the message. Undefined for
 * any other answer; reads no stream of events.
 */
export async function reasonOf(answer: Response): Promise<string | undefined> {
  if (!answer.headers.get("content-type")?.startsWith("application/json")) return undefined;
  const { error } = (await answer.clone().json()) as { error?: { code: number } };
  if (error === undefined) return undefined;
  return reasons[error.code] ?? reasonsByStatus[answer.status] ?? "it breaks the protocol";
}
