import * as z from "zod";
import type { Tables } from "../db/store.ts";
import { STALE_AFTER } from "./node-condition.ts";

/** Result fields of every change: when nodes serve it. */
export const liveFields = {
  revision: z
    .int()
    .nullable()
    .describe(
      "Live on nodes whose applied_revision is at least this; null if your access is limited to some domains.",
    ),
  note: z.string().optional().describe("Why this is not live soon; absent if nodes call."),
};

const NOT_SERVED =
  "Stored, but not live: no node that may serve this domain has called in the last 5 minutes. Tell the person so; the " +
  "operator must add a node, or mend the ones there are.";

/** The revision after a change of this domain, with a note while no node would serve it within a minute. */
export async function liveness({ state, nodes }: Tables, at: string, domain: string) {
  const now = Date.parse(at);
  const [from, to] = [now - STALE_AFTER, now + STALE_AFTER].map((time) => new Date(time).toISOString());
  const isServed = await nodes.callsFor(domain, String(from), String(to));
  return { revision: await state.revision(), ...(!isServed && { note: NOT_SERVED }) };
}
