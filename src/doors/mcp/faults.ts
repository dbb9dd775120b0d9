import { ProtocolError, ProtocolErrorCode } from "@modelcontextprotocol/server";

/** How the SDK begins to tell of messages that are not what the protocol has there. */
const REFUSED = /^(?:Rejected|Discarded a) /;

/** Whether what the SDK reports is the client's doing; else it is a fault of ours. */
export function isClientFault(error: Error): boolean {
  return error instanceof ProtocolError || REFUSED.test(error.message);
}

/** Of the revision 2026-07-28; the SDK has no name for it. */
const HEADER_MISMATCH = -32020;

const UNKNOWN_REVISION = "its revision of the protocol is not known here";

const reasons: Readonly<Record<number, string>> = {
  [ProtocolErrorCode.ParseError]: "it is no JSON-RPC message",
  [ProtocolErrorCode.InvalidRequest]: "it is no JSON-RPC message",
  [ProtocolErrorCode.MethodNotFound]: "there is no such method here",
  [ProtocolErrorCode.InvalidParams]: "its params are not as its revision of the protocol has them",
  [ProtocolErrorCode.UnsupportedProtocolVersion]: UNKNOWN_REVISION,
  [HEADER_MISMATCH]: "its header fields lack something, or contradict it",
};

/** By status, where the SDK has no code of its own. */
const reasonsByStatus: Readonly<Record<number, string>> = {
  400: UNKNOWN_REVISION,
};

/**
 * For the log, why the SDK answered a message with an error: its own words may repeat some of the message. Undefined for
 * any other answer; of a stream of events nothing is read.
 */
export async function reasonOf(answer: Response): Promise<string | undefined> {
  if (!answer.headers.get("content-type")?.startsWith("application/json")) return undefined;
  const { error } = (await answer.clone().json()) as { error?: { code: number } };
  if (error === undefined) return undefined;
  return reasons[error.code] ?? reasonsByStatus[answer.status] ?? "it is not as the protocol has it";
}
