import type { Store } from "../../db/store.ts";
import type { Report } from "../../src/sync/report.ts";
import { type View, wholeView } from "../../src/sync/view.ts";
import { stateOf } from "./store.ts";

/** Returns the report of a node that serves the newest state of its view. */
export async function appliedReport(store: Store, view: View = wholeView): Promise<Report> {
  const { revision, history, digest, counts } = await stateOf(store, view);
  const report = { status: "applied", reason: null, count: null, version: "1.2.3" } as const;
  return { revision, history, digest, counts, ...report };
}
