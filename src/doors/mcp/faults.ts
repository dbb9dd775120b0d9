import { ProtocolError, ProtocolErrorCode } from "@modelcontextprotocol/server";

/** How the SDK begins to tell of messages that are not what the protocol has there. */
const REFUSED = /^(?:Rejected|Discarded a) /;

/** Whether what the SDK reports is the client's doing; else it is a fault of ours. */
export function isClientFault(error: Error): boolean {
  return error instanceof ProtocolError || REFUSED.test(error.message);
}

/** Of the revision 2026-07-28; the SDK has no name for it. */
const HEADER_MISMATCH = -32020;

const reasons: Readonly<Record<number, string>> = {
  [ProtocolErrorCode.ParseError]: "it is no JSON-RPC message",
  [ProtocolErrorCode.InvalidRequest]: "it is no JSON-RPC message",
  [ProtocolErrorCode.MethodNotFound]: "there is no such method here",
  [ProtocolErrorCode.InvalidParams]: "its params are not as its revision of the protocol has them",
  [ProtocolErrorCode.UnsupportedProtocolVersion]: "its revision of the protocol is not known here",
  [HEADER_MISMATCH]: "its header fields lack something, or contradict it",
};

/** For the log, why the SDK answered a message with an error: its own words may repeat some of the message. */
export async function reasonOf(answer: Response): Promise<string | undefined> {
  const body = (await answer
    .clone()
    .json()
    .catch(() => undefined)) as { error?: { code?: number } } | undefined;
  return reasons[body?.error?.code ?? 0];
}
