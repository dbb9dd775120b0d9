import type { SendingLimit, SendingPeriod } from "../../mail/sending-limit.ts";
import type { Replica } from "../replica/replica.ts";
import type { SendingLimits } from "./allowance.ts";

/** Limits that a person does not meet, and that stop a stolen password soon. */
export const DEFAULT_SENDING_LIMITS: SendingLimits = { hour: 200, day: 1000, first_time: 300 };

/** What each mailbox may send: its own limit, else its domain's, else the node's. */
export class LimitBook {
  readonly #usual: SendingLimits;
  /** By mailbox and by domain. */
  #own = new Map<string, SendingLimit>();
  #state = "";

  constructor(usual: SendingLimits) {
    this.#usual = usual;
  }

  /** The limits of a mailbox, a period at a time. */
  readonly of = (mailbox: string): SendingLimits => {
    const own = this.#own.get(mailbox);
    const ofDomain = this.#own.get(mailbox.slice(mailbox.lastIndexOf("@") + 1));
    const limit = (period: SendingPeriod) => own?.[period] ?? ofDomain?.[period] ?? this.#usual[period];
    return { hour: limit("hour"), day: limit("day"), first_time: limit("first_time") };
  };

  /** Reads the limits of the state in service, unless they are those that it has. @throws SqliteError */
  async take({ db, meta }: Replica): Promise<void> {
    if (meta === undefined) return;
    const state = `${meta.history} ${meta.digest}`;
    if (state === this.#state) return;
    const rows = await db.run(
      `SELECT json_array(name, json(sending)) FROM state.domain WHERE sending IS NOT NULL AND key = name;
      SELECT json_array(local || '@' || domain, json(sending)) FROM state.mailbox WHERE sending IS NOT NULL;`,
    );
    this.#own = new Map(rows.map((row) => JSON.parse(row) as [string, SendingLimit]));
    this.#state = state;
  }
}
