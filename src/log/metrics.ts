import { Counter, Gauge, Registry } from "prom-client";
import type { DatabaseFigures } from "../../db/store.ts";
import type { EndedCall } from "../../tools/call/call.ts";
import type { Figures } from "../../tools/operator/read-figures.ts";
import { paths } from "../sync/wire.ts";

/**
 * The Prometheus metrics of this process and its database. Labels are routes, tools, codes and statuses, never a user's
 * name, address or text.
 */
export class Metrics {
  /** Polls answered 304 since the last scrape: a plain number, because such a poll must cost next to nothing. */
  unchangedPolls = 0;
  readonly #registry = new Registry();
  #hashing = 0;

  readonly #requests = this.#counter("http_requests_total", "HTTP requests, by route and status", [
    "route",
    "status",
  ]);
  readonly #calls = this.#counter(
    "tool_calls_total",
    "Tool calls, by tool and outcome: done, or a refusal's code",
    ["tool", "outcome"],
  );
  readonly #hashes = this.#gauge("password_hashes", "Passwords that are hashed or wait for it");
  readonly #waitingPolls = this.#gauge("polls_waiting", "Nodes that wait for a change");
  readonly #nodes = this.#gauge("nodes", "Nodes, by status and by how many revisions they are behind", [
    "status",
    "lag",
  ]);
  readonly #withheld = this.#gauge(
    "withheld_removals",
    "Removals that nodes withhold, of all nodes together",
    ["kind"],
  );
  readonly #maxLag = this.#gauge("node_lag_revisions_max", "The most revisions that a node is behind");
  readonly #revision = this.#gauge("revision", "The revision that nodes should serve");
  readonly #domains = this.#gauge("domains", "Registered domains");
  readonly #mailboxes = this.#gauge("mailboxes", "Mailboxes", ["state"]);
  readonly #bytes = this.#gauge("database_bytes", "Size of the database's files", ["file"]);
  readonly #timeline = this.#gauge(
    "database_timeline",
    "PostgreSQL's timeline, which each fail-over raises; 0 with SQLite",
  );
  readonly #connections = this.#gauge(
    "database_connections",
    "Connections to PostgreSQL, by pool, and callers that wait for one",
    ["pool", "state"],
  );
  readonly #signals = this.#counter(
    "change_signals_total",
    "Changes that PostgreSQL told waiting nodes of: by a notification at once, or by a look, up to a second late",
    ["by"],
  );

  request(route: string, status: number | "aborted"): void {
    this.#requests.inc({ route, status });
  }

  call({ tool, outcome }: Pick<EndedCall, "tool" | "outcome">): void {
    this.#calls.inc({ tool, outcome });
  }

  /** Counts a hash as under way until it is done. */
  async countHash<T>(hash: Promise<T>): Promise<T> {
    this.#hashing += 1;
    try {
      return await hash;
    } finally {
      this.#hashing -= 1;
    }
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All metrics in Prometheus' text format. */
  async text(figures: Figures, waitingPolls: number, database: DatabaseFigures): Promise<string> {
    this.#requests.inc({ route: paths.maps, status: 304 }, this.unchangedPolls);
    this.unchangedPolls = 0;
    this.#hashes.set(this.#hashing);
    this.#waitingPolls.set(waitingPolls);
    for (const { status, lag, count } of figures.nodes) this.#nodes.set({ status, lag }, count);
    for (const [kind, count] of Object.entries(figures.withheld)) this.#withheld.set({ kind }, count);
    this.#maxLag.set(figures.max_lag);
    this.#revision.set(figures.revision);
    this.#domains.set(figures.domains);
    this.#mailboxes.set({ state: "active" }, figures.active_users);
    this.#mailboxes.set({ state: "inactive" }, figures.inactive_users);
    this.#database(database);
    return this.#registry.metrics();
  }

  #database({ bytes, timeline = 0, connections = {}, signals }: DatabaseFigures): void {
    for (const [file, size] of Object.entries(bytes)) this.#bytes.set({ file }, size);
    this.#timeline.set(timeline);
    for (const [pool, counts] of Object.entries(connections)) {
      for (const [state, count] of Object.entries(counts)) this.#connections.set({ pool, state }, count);
    }
    this.#signals.reset();
    for (const [by, count] of Object.entries(signals ?? {})) this.#signals.inc({ by }, count);
  }

  #counter<Label extends string>(name: string, help: string, labelNames: Label[]): Counter<Label> {
    return new Counter({ name: `m25_mail_${name}`, help, labelNames, registers: [this.#registry] });
  }

  #gauge<Label extends string>(name: string, help: string, labelNames: Label[] = []): Gauge<Label> {
    return new Gauge({ name: `m25_mail_${name}`, help, labelNames, registers: [this.#registry] });
  }
}
