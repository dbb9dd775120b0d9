import type { PollingNode } from "../../../db/store.ts";
import { RateLimit, tooMany } from "../../../tools/rate-limit.ts";

/** Each is an entry in the audit log that nobody can remove, and an honest node asks once. */
const KEYS_A_MINUTE = 6;
/** Five a second: as quickly as a node applies one change after the other. */
const REPORTS_A_MINUTE = 300;
/** Answers with everything, of any size; changes and answers without news cost little and are not counted. */
const SNAPSHOTS_A_MINUTE = 30;

/** Counts what costs much, by node: a hundred of them may be behind one address. */
export class NodeLimits {
  readonly #keys = new RateLimit(KEYS_A_MINUTE);
  readonly #reports = new RateLimit(REPORTS_A_MINUTE);
  readonly #snapshots = new RateLimit(SNAPSHOTS_A_MINUTE);

  /** @throws MailError busy, as the others */
  key(node: PollingNode): void {
    take(this.#keys, node, "requests for keys");
  }

  report(node: PollingNode): void {
    take(this.#reports, node, "reports");
  }

  snapshot(node: PollingNode): void {
    take(this.#snapshots, node, "snapshots");
  }
}

function take(limit: RateLimit, { id }: PollingNode, what: string): void {
  const wait = limit.take(String(id));
  if (wait > 0) throw tooMany(what, wait);
}
