import { createServer, type Server, type Socket } from "node:net";
import type { Machine } from "../../machine/machine.ts";
import type { SendingPeriod } from "../../mail/sending-limit.ts";
import { MOST_LIMITED_USERS } from "../../sync/report.ts";
import { explain } from "../faults.ts";
import { Allowance, type SendingLimits, type Verdict } from "./allowance.ts";
import { LimitBook } from "./limits.ts";

/** Bytes of one request at most; Postfix's have 1 kB. */
const MAX_REQUEST = 65_536;

/** ms between two lines about the same mailbox. */
const SAY_AGAIN = 3_600_000;

/** ms for which a mailbox that has reached a limit is reported. */
const DAY = 86_400_000;

/**
 * Answers Postfix's policy requests of the submission services (SMTPD_POLICY_README): a mailbox that has written to too many
 * recipients waits. Postfix asks at DATA, when it knows how many there are. While nobody answers, Postfix lets mail pass.
 */
export class PolicyServer {
  /** What each mailbox may send. */
  readonly limits: LimitBook;
  readonly #machine: Machine;
  readonly #allowance: Allowance;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** When the log last named a mailbox. */
  readonly #said = new Map<string, number>();
  /** When a mailbox last reached a limit. */
  readonly #limited = new Map<string, number>();
  #failure = "";

  /** @param usual for mailboxes and domains without limits of their own */
  constructor(machine: Machine, usual: SendingLimits) {
    this.#machine = machine;
    this.limits = new LimitBook(usual);
    this.#allowance = new Allowance(this.limits.of);
    this.#server = createServer((socket) => this.#serve(socket));
  }

  /** Listens on this port of loopback, unless it does already. A failure is a warning: polls are worth more. */
  async listen(port: number): Promise<void> {
    this.#forget();
    if (this.#server.listening) return;
    const failure = await new Promise<string>((resolve) => {
      const failed = (error: Error) => resolve(explain(error));
      this.#server.once("error", failed);
      this.#server.listen(port, "127.0.0.1", () => {
        this.#server.off("error", failed);
        resolve("");
      });
    });
    if (failure !== "" && failure !== this.#failure)
      this.#machine.log(
        `warning: users may send without limits, because port ${port} is not free: ${failure}`,
      );
    this.#failure = failure;
  }

  /** The port that it listens on; undefined if it does not. */
  get port(): number | undefined {
    const address = this.#server.address();
    return typeof address === "object" ? address?.port : undefined;
  }

  /** The mailboxes that have reached a limit within a day, by their addresses; not all, if there are very many. */
  limitedUsers(): string[] {
    this.#forget();
    return [...this.#limited.keys()].slice(-MOST_LIMITED_USERS).sort();
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    let text = "";
    socket.setEncoding("utf8").on("data", (piece) => {
      text += piece;
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        socket.write(`action=${this.#answer(attributesOf(text.slice(0, end)))}\n\n`);
        text = text.slice(end + 2);
      }
      if (text.length > MAX_REQUEST) socket.destroy();
    });
  }

  #answer({ sasl_username = "", recipient_count = "" }: Readonly<Record<string, string>>): string {
    const mailbox = mailboxOf(sasl_username);
    if (mailbox === "") return "DUNNO";
    const recipients = Math.max(1, Number(recipient_count) || 1);
    const now = this.#machine.clock.monotonic();
    const verdict = this.#allowance.take(mailbox, recipients, now);
    if (verdict.may) return "DUNNO";
    this.#limited.delete(mailbox); // so that the last one is at the end
    this.#limited.set(mailbox, now);
    if (!(now - (this.#said.get(mailbox) ?? -SAY_AGAIN) < SAY_AGAIN)) {
      this.#said.set(mailbox, now);
      const { limit, period } = verdict;
      this.#machine.log(
        `${mailbox} has reached its limit of ${limit} recipients ${each(period)}: its password may be stolen`,
      );
    }
    return refusal(verdict, recipients);
  }

  #forget(): void {
    const now = this.#machine.clock.monotonic();
    this.#allowance.forgetUnused(now);
    for (const [mailbox, at] of this.#said) if (now - at >= SAY_AGAIN) this.#said.delete(mailbox);
    for (const [mailbox, at] of this.#limited) if (now - at >= DAY) this.#limited.delete(mailbox);
  }
}

/** Dovecot's user name: the address, # and the password's revision. */
function mailboxOf(userName: string): string {
  return userName.replace(/#\d+$/, "").toLowerCase();
}

function refusal({ limit, period, wait }: Exclude<Verdict, { may: true }>, recipients: number): string {
  const most = `at most ${limit} recipients ${each(period)}`;
  if (wait === "never") return `550 5.7.1 ${most}, and this message has ${recipients}`;
  return `450 4.7.1 ${most}: try again in ${wait} ${wait === 1 ? "minute" : "minutes"}`;
}

function each(period: SendingPeriod): string {
  return period === "hour" ? "an hour" : "a day";
}

function attributesOf(request: string): Record<string, string> {
  const entries = request.split("\n").map((line) => {
    const at = line.indexOf("=");
    return [line.slice(0, at), line.slice(at + 1)];
  });
  return Object.fromEntries(entries) as Record<string, string>;
}
