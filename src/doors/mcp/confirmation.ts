import { createHmac } from "node:crypto";
import {
  CLIENT_CAPABILITIES_META_KEY,
  type ClientCapabilities,
  createRequestStateCodec,
  type InputRequiredResult,
  inputRequired,
  type ServerContext,
} from "@modelcontextprotocol/server";
import * as z from "zod";
import type { Loss } from "../../../tools/call/tool.ts";

/** How long a question may be answered, in seconds. */
export const TTL = 600;

/** A form with a field: some clients accept an empty form by themselves. */
const form = {
  type: "object",
  properties: {
    confirm: {
      type: "boolean",
      title: "Yes, remove it for good",
      description: "Cannot be undone.",
      default: false,
    },
  },
  required: ["confirm"],
} satisfies Parameters<typeof inputRequired.elicit>[0]["requestedSchema"];

const Answer = z.object({ action: z.string(), content: z.unknown().optional() });
/** Only a real true, as for hard_delete. */
const Yes = z.object({ confirm: z.literal(true) });

/** `cancelled`: a person, or a host without one, closed the question without an answer. */
type Confirmation = "confirmed" | "declined" | "cancelled" | InputRequiredResult;

/**
 * Asks a person before a call destroys something, if the client can: by a result that requires input (2026-07-28), or
 * by elicitation over a lasting connection (earlier revisions; the SDK converts). This is a comfort, not a defence: a
 * client that cannot ask makes the call unasked.
 */
export class Confirmations {
  readonly #key: Uint8Array;
  readonly #questions;

  /** @param key signs the questions: an answer must come to a process with the same one */
  constructor(key: Uint8Array) {
    this.#key = key;
    this.#questions = createRequestStateCodec<string>({ key, ttlSeconds: TTL });
  }

  /** Whether exactly this loss was confirmed; else the question. */
  async confirm(loss: Loss, context: ServerContext): Promise<Confirmation> {
    const answer = Answer.safeParse(context.mcpReq.inputResponses?.confirm).data;
    const lost = this.#seal(loss);
    if (answer !== undefined) {
      if (answer.action === "decline") return "declined";
      if (answer.action !== "accept") return "cancelled";
      if (!Yes.safeParse(answer.content).success) return "declined";
      if ((await this.#asked(context)) === lost) return "confirmed";
    }
    return inputRequired({
      requestState: await this.#questions.mint(lost),
      inputRequests: { confirm: inputRequired.elicit({ message: loss.question, requestedSchema: form }) },
    });
  }

  /** A loss in the form that the client keeps. It needs a key: a bare hash could be guessed. */
  #seal({ id }: Loss): string {
    return createHmac("sha256", this.#key).update(`loss ${id}`).digest("base64url");
  }

  /** The loss that the answer is for; undefined for an old or forged answer. */
  async #asked(context: ServerContext): Promise<string | undefined> {
    const state = context.mcpReq.requestState<string>();
    return state === undefined ? undefined : this.#questions.verify(state, context).catch(() => undefined);
  }
}

/**
 * Whether the client can show a form to a person.
 *
 * @param initialised the capabilities from the connection's start, if the connection lasts
 */
export function canAsk(context: ServerContext, initialised: ClientCapabilities | undefined): boolean {
  const elicitation = elicitationOf(context, initialised);
  return elicitation !== undefined && (elicitation.form !== undefined || elicitation.url === undefined);
}

/** Whether the client can open an address for a person (URL mode). @param initialised as for canAsk */
export function canOpen(context: ServerContext, initialised: ClientCapabilities | undefined): boolean {
  return elicitationOf(context, initialised)?.url !== undefined;
}

function elicitationOf({ mcpReq }: ServerContext, initialised: ClientCapabilities | undefined) {
  const envelope = mcpReq.envelope as { [CLIENT_CAPABILITIES_META_KEY]?: ClientCapabilities } | undefined;
  return (envelope?.[CLIENT_CAPABILITIES_META_KEY] ?? initialised)?.elicitation;
}
