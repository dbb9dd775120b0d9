import type { Store } from "../../../db/store.ts";
import type { LastSeen } from "../../auth/last-seen.ts";
import type { Publisher } from "../../sync/publisher.ts";
import type { ChangeSignal } from "./change-signal.ts";
import type { Comparisons } from "./comparisons.ts";
import type { EndedKeyUses } from "./ended-keys.ts";
import type { LongPolls } from "./long-polls.ts";
import type { NodeLimits } from "./node-limits.ts";

/** The parts that the nodes' routes share. */
export interface SyncDoor {
  store: Store;
  publisher: Publisher;
  changes: ChangeSignal;
  lastSeen: LastSeen;
  comparisons: Comparisons;
  endedKeyUses: EndedKeyUses;
  limits: NodeLimits;
  longPolls: LongPolls;
  now(): Date;
  /** False once the server is closing: polls then do not wait. */
  open(): boolean;
}
