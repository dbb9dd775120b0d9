import type { PollingNode } from "../../../db/store.ts";
import { LeakyBuckets } from "../../../tools/call/leaky-buckets.ts";
import { RateLimit, tooMany } from "../../../tools/call/rate-limit.ts";
import type { Publication } from "../../sync/publisher.ts";

/** Each new key adds an entry to the audit log, and an honest node asks once. */
const KEYS_A_MINUTE = 6;
/** Five a second: a node applies changes in a row no faster. */
const REPORTS_A_MINUTE = 300;
/** Answers with the whole state, however small. */
const SNAPSHOTS_A_MINUTE = 30;
/** Snapshots and deltas together: enough for one snapshot of some 1,000,000 mailboxes. */
const BYTES_A_MINUTE = 128 * 1024 * 1024;

/** Limits costly requests for each node, not for each address: a hundred nodes may share one. */
export class NodeLimits {
  readonly #keys = new RateLimit(KEYS_A_MINUTE);
  readonly #reports = new RateLimit(REPORTS_A_MINUTE);
  readonly #snapshots = new RateLimit(SNAPSHOTS_A_MINUTE);
  readonly #bytes: LeakyBuckets;

  /** @param clock ms since any moment, never backwards */
  constructor(clock?: () => number) {
    this.#bytes = new LeakyBuckets(BYTES_A_MINUTE, clock);
  }

  /** @throws MailError busy, as the other methods do */
  key(node: PollingNode): void {
    take(this.#keys, node, "requests for keys");
  }

  report(node: PollingNode): void {
    take(this.#reports, node, "reports");
  }

  /** Lets the answer that passes the limit go out, however large: a node must get its snapshot in the end. */
  maps(node: Pick<PollingNode, "id">, { kind, size }: Pick<Publication, "kind" | "size">): void {
    const over = this.#bytes.level(String(node.id)) - BYTES_A_MINUTE;
    if (over >= 0) throw tooMany("bytes of maps", Math.max(1, Math.ceil((over / BYTES_A_MINUTE) * 60)));
    if (kind === "snapshot") take(this.#snapshots, node, "snapshots");
    this.#bytes.add(String(node.id), size);
  }
}

function take(limit: RateLimit, { id }: Pick<PollingNode, "id">, what: string): void {
  const wait = limit.take(String(id));
  if (wait > 0) throw tooMany(what, wait);
}
