import {
  createRequestStateCodec,
  type InputRequiredResult,
  inputRequired,
  type ServerContext,
} from "@modelcontextprotocol/server";
import * as z from "zod";

/** How long the person may take to open a link, in seconds. */
const TTL = 600;

type Result = Record<string, unknown>;

const Answer = z.object({ action: z.string() });

/** Has a client open a result's `url` for the person (URL-mode elicitation), so that the model never sees it. */
export class OpenedLinks {
  readonly #results;

  /** @param key signs the results: an answer must come to a process with the same one */
  constructor(key: Uint8Array) {
    this.#results = createRequestStateCodec<Result>({ key, ttlSeconds: TTL });
  }

  /** Asks the client to open the link. */
  async begin(result: Result): Promise<InputRequiredResult> {
    const message = `Choose the password of ${result.email} on this page. Only you will know it.`;
    return inputRequired({
      requestState: await this.#results.mint(result),
      inputRequests: { open: inputRequired.elicitUrl({ message, url: String(result.url) }) },
    });
  }

  /** The call's result once the client has answered: without the link if it has opened it. */
  async end(context: ServerContext): Promise<Result | undefined> {
    const answer = Answer.safeParse(context.mcpReq.inputResponses?.open).data;
    const state = context.mcpReq.requestState<string>();
    if (answer === undefined || state === undefined) return undefined;
    const result = await this.#results.verify(state, context).catch(() => undefined);
    if (result === undefined || answer.action !== "accept") return result;
    const { url: _, ...rest } = result;
    return rest;
  }
}
