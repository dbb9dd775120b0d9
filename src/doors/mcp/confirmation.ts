import { createHmac, randomBytes } from "node:crypto";
import {
  CLIENT_CAPABILITIES_META_KEY,
  type ClientCapabilities,
  createRequestStateCodec,
  type InputRequiredResult,
  inputRequired,
  type ServerContext,
} from "@modelcontextprotocol/server";
import * as z from "zod";
import type { Loss } from "../../../tools/tool.ts";

/** How long a question may stand, in seconds. */
const TTL = 600;

/** Something to be set, and no empty form: some clients accept what has nothing to fill in by themselves. */
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
/** A real true, as of hard_delete. */
const Yes = z.object({ confirm: z.literal(true) });

/** `cancelled`: the question was closed, by a person or by a host without one; that is no word of a person. */
type Confirmation = "confirmed" | "declined" | "cancelled" | InputRequiredResult;

/**
 * Asks a person before a call destroys something, where the client has the means: by a result that requires input
 * (2026-07-28) or, over a connection that lasts, by elicitation (before; the SDK makes one of the other). It is comfort
 * and no boundary: who cannot be asked just does the call.
 */
export class Confirmations {
  readonly #key = randomBytes(32);
  /** Signed with a key of this process: who asks again after a restart is asked again. */
  readonly #questions = createRequestStateCodec<string>({ key: randomBytes(32), ttlSeconds: TTL });

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

  /** What the client is given of it to keep. With a key: one could find out by guessing what is in a bare hash. */
  #seal({ id }: Loss): string {
    return createHmac("sha256", this.#key).update(id).digest("base64url");
  }

  /** Which question the answer is to; undefined for an old or forged one. */
  async #asked(context: ServerContext): Promise<string | undefined> {
    const state = context.mcpReq.requestState<string>();
    return state === undefined ? undefined : this.#questions.verify(state, context).catch(() => undefined);
  }
}

/**
 * Whether the client can put a form before a person.
 *
 * @param initialised what it declared when the connection began, where there is one that lasts
 */
export function canAsk({ mcpReq }: ServerContext, initialised: ClientCapabilities | undefined): boolean {
  const envelope = mcpReq.envelope as { [CLIENT_CAPABILITIES_META_KEY]?: ClientCapabilities } | undefined;
  const elicitation = (envelope?.[CLIENT_CAPABILITIES_META_KEY] ?? initialised)?.elicitation;
  return elicitation !== undefined && (elicitation.form !== undefined || elicitation.url === undefined);
}
