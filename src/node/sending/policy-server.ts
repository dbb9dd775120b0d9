import { createServer, type Server, type Socket } from "node:net";
import type { Machine } from "../../machine/machine.ts";
import { MOST_LIMITED_USERS } from "../../sync/report.ts";
import { explain } from "../faults.ts";
import { Allowance, type SendingLimits, type Verdict } from "./allowance.ts";
import { LimitBook } from "./limits.ts";
import type { KnownRecipients } from "./recipients.ts";

/** Bytes of one request at most; Postfix's have 1 kB. */
const MAX_REQUEST = 65_536;

/** Messages that have begun at most, and recipients of one; Postfix's own limits are 100 processes and 1000 recipients. */
const MOST_MESSAGES = 1000;
const MOST_RECIPIENTS = 1000;

/** ms after its last recipient in which a message must go on; Postfix waits 5 minutes. */
const MESSAGE = 600_000;

/** ms between two lines about the same mailbox. */
const SAY_AGAIN = 3_600_000;

/** ms for which a mailbox that has reached a limit is reported. */
const DAY = 86_400_000;

/**
 * Answers Postfix's policy requests of the submission services (SMTPD_POLICY_README): a mailbox that has written to too many
 * recipients waits. Postfix tells each recipient at RCPT, and asks at DATA, when it knows how many there are. While nobody answers,
 * Postfix lets mail pass.
 */
export class PolicyServer {
  /** What each mailbox may send. */
  readonly limits: LimitBook;
  readonly #machine: Machine;
  readonly #allowance: Allowance;
  readonly #known: KnownRecipients | undefined;
  /** The recipients of each message that has begun, by Postfix's name for it. */
  readonly #begun = new Map<string, { recipients: Set<string>; at: number }>();
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** When the log last named a mailbox. */
  readonly #said = new Map<string, number>();
  /** When a mailbox last reached a limit. */
  readonly #limited = new Map<string, number>();
  #failure = "";

  /**
   * @param usual for mailboxes and domains without limits of their own
   * @param known without it no recipient counts as new
   */
  constructor(machine: Machine, usual: SendingLimits, known?: KnownRecipients) {
    this.#machine = machine;
    this.#known = known;
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
    let answered: Promise<unknown> = Promise.resolve();
    socket.setEncoding("utf8").on("data", (piece) => {
      text += piece;
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        const attributes = attributesOf(text.slice(0, end));
        answered = answered.then(async () => socket.write(`action=${await this.#answer(attributes)}\n\n`));
        text = text.slice(end + 2);
      }
      if (text.length > MAX_REQUEST) socket.destroy();
    });
  }

  async #answer(attributes: Readonly<Record<string, string>>): Promise<string> {
    const { sasl_username = "", recipient_count = "", protocol_state } = attributes;
    const mailbox = mailboxOf(sasl_username);
    if (mailbox === "") return "DUNNO";
    const told = this.#recipientsOf(attributes);
    if (protocol_state === "RCPT") return "DUNNO";
    const recipients = Math.max(1, Number(recipient_count) || 1);
    const known = this.limits.of(mailbox).first_time === 0 ? undefined : this.#known;
    const firstTime = (await known?.countNew(mailbox, told)) ?? 0;
    const now = this.#machine.clock.monotonic();
    const verdict = this.#allowance.take(mailbox, recipients, now, firstTime);
    if (verdict.may) {
      void known?.note(mailbox, told);
      return "DUNNO";
    }
    this.#limited.delete(mailbox); // so that the last one is at the end
    this.#limited.set(mailbox, now);
    if (!(now - (this.#said.get(mailbox) ?? -SAY_AGAIN) < SAY_AGAIN)) {
      this.#said.set(mailbox, now);
      this.#machine.log(`${mailbox} has reached its limit of ${most(verdict)}: its password may be stolen`);
    }
    return refusal(verdict, verdict.period === "first_time" ? firstTime : recipients);
  }

  /** The recipients of a message so far. Postfix tells the last time at DATA, and then names one only if it is alone. */
  #recipientsOf({
    instance = "",
    protocol_state,
    recipient = "",
  }: Readonly<Record<string, string>>): string[] {
    const begun = this.#begun.get(instance) ?? { recipients: new Set<string>(), at: 0 };
    if (recipient !== "" && begun.recipients.size < MOST_RECIPIENTS)
      begun.recipients.add(recipient.toLowerCase());
    this.#begun.delete(instance);
    if (protocol_state !== "RCPT") return [...begun.recipients];
    this.#begun.set(instance, { ...begun, at: this.#machine.clock.monotonic() });
    const [oldest] = this.#begun.keys();
    if (this.#begun.size > MOST_MESSAGES && oldest !== undefined) this.#begun.delete(oldest);
    return [];
  }

  #forget(): void {
    const now = this.#machine.clock.monotonic();
    for (const [instance, { at }] of this.#begun) if (now - at >= MESSAGE) this.#begun.delete(instance);
    this.#allowance.forgetUnused(now);
    for (const [mailbox, at] of this.#said) if (now - at >= SAY_AGAIN) this.#said.delete(mailbox);
    for (const [mailbox, at] of this.#limited) if (now - at >= DAY) this.#limited.delete(mailbox);
  }
}

/** Dovecot's user name: the address, # and the password's revision. */
function mailboxOf(userName: string): string {
  return userName.replace(/#\d+$/, "").toLowerCase();
}

type Refused = Exclude<Verdict, { may: true }>;

/** @param counted the message's recipients that count for the limit */
function refusal(verdict: Refused, counted: number): string {
  const { wait } = verdict;
  if (wait === "never") return `550 5.7.1 at most ${most(verdict)}, and this message has ${counted}`;
  return `450 4.7.1 at most ${most(verdict)}: try again in ${wait} ${wait === 1 ? "minute" : "minutes"}`;
}

function most({ limit, period }: Refused): string {
  if (period === "first_time") return `${limit} recipients a day to whom you have not written before`;
  return `${limit} recipients ${period === "hour" ? "an hour" : "a day"}`;
}

function attributesOf(request: string): Record<string, string> {
  const entries = request.split("\n").map((line) => {
    const at = line.indexOf("=");
    return [line.slice(0, at), line.slice(at + 1)];
  });
  return Object.fromEntries(entries) as Record<string, string>;
}
