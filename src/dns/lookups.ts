import { Resolver } from "node:dns/promises";
import { isIP } from "node:net";
import { reverseName } from "../mail/network.ts";

/** Questions of one check at most; further ones fail. */
const MOST_QUESTIONS = 150;

/** ms after which every open question of one check fails. */
const DEADLINE = 15_000;

/** The name servers of a domain that are asked, of all that it has. */
const MOST_SERVERS = 4;

export type RecordType = "A" | "AAAA" | "CAA" | "CNAME" | "MX" | "NS" | "PTR" | "SRV" | "TXT";

/**
 * The name servers' answer about a name and a type. Records have their form in a zone file (RFC 1035, section 5).
 * `remark`: what a person should know about the answer besides.
 */
export type Answer =
  | { kind: "found"; records: readonly string[]; remark?: string }
  | { kind: "absent" }
  | { kind: "unequal"; remark: string }
  | { kind: "failed"; remark: string };

/** A name server of the domain: its name, and the resolver that asks it. */
interface NameServer {
  name: string;
  resolver: Resolver;
}

/**
 * The questions of one check. Names in the domain's zone are asked of its own name servers, so that no cache answers.
 * Other names, and unanswered ones, go to the resolver. Each question is asked once.
 */
export class Lookups {
  readonly #resolver: Resolver;
  readonly #answers = new Map<string, Promise<unknown[]>>();
  readonly #open = new Set<Resolver>();
  readonly #timer: NodeJS.Timeout;
  #questions = 0;
  #zone: { name: string; servers: readonly NameServer[] } | undefined;

  /** @param nameServer the resolver to ask, as ADDRESS or ADDRESS:PORT; undefined for the machine's own */
  constructor(nameServer: string | undefined) {
    this.#resolver = this.#newResolver(nameServer === undefined ? [] : [nameServer]);
    this.#timer = setTimeout(() => this.#cancel(), DEADLINE);
  }

  /** Ends all questions that are still open. */
  close(): void {
    clearTimeout(this.#timer);
    this.#cancel();
  }

  /** Finds the name servers of the zone that a domain is in. Without any, the resolver answers for it as well. */
  async findZone(domain: string): Promise<void> {
    for (let name = domain; name.includes("."); name = name.slice(name.indexOf(".") + 1)) {
      const names = await this.#askResolver(name, "NS").catch(() => []);
      if (names.length === 0) continue;
      const servers = await Promise.all(
        (names as string[]).slice(0, MOST_SERVERS).map((one) => this.#server(one)),
      );
      this.#zone = { name, servers: servers.filter((server) => server !== undefined) };
      return;
    }
  }

  async ask(name: string, type: RecordType): Promise<Answer> {
    const zone = this.#zone;
    if (zone === undefined || zone.servers.length === 0 || !isWithin(name, zone.name))
      return await this.#fromResolver(name, type);
    const answers = await Promise.all(
      zone.servers.map(async ({ name: server, resolver }) => ({
        server,
        answer: await answerOf(this.#askOnce(resolver, server, name, type), type),
      })),
    );
    const answer = together(answers);
    if (answer.kind !== "absent" && answer.kind !== "failed") return answer;
    // A CNAME or a delegation leads out of the zone, and its name servers do not follow it.
    const elsewhere = await this.#fromResolver(name, type);
    return elsewhere.kind === "found" ? elsewhere : answer;
  }

  /**
   * One answer as node:dns gives it.
   *
   * @throws an error of node:dns; ENODATA and ENOTFOUND mean that there is no such record
   */
  async askOne(name: string, type: string): Promise<unknown[]> {
    const zone = this.#zone;
    const [server] = zone !== undefined && isWithin(name, zone.name) ? zone.servers : [];
    if (server === undefined) return await this.#askResolver(name, type);
    return await this.#askOnce(server.resolver, server.name, name, type).catch(() =>
      this.#askResolver(name, type),
    );
  }

  #askResolver(name: string, type: string): Promise<unknown[]> {
    return this.#askOnce(this.#resolver, "", name, type);
  }

  async #fromResolver(name: string, type: RecordType): Promise<Answer> {
    return await answerOf(this.#askResolver(name, type), type);
  }

  #askOnce(resolver: Resolver, server: string, name: string, type: string): Promise<unknown[]> {
    const key = `${server} ${name.toLowerCase()} ${type}`;
    let answer = this.#answers.get(key);
    if (answer === undefined) {
      this.#questions += 1;
      answer =
        this.#questions > MOST_QUESTIONS
          ? Promise.reject(Object.assign(new Error("too many questions"), { code: "TOO_MANY" }))
          : question(resolver, name, type);
      this.#answers.set(key, answer);
    }
    return answer;
  }

  async #server(name: string): Promise<NameServer | undefined> {
    const found = await Promise.all([this.#fromResolver(name, "A"), this.#fromResolver(name, "AAAA")]);
    const [address] = found.flatMap((answer) => (answer.kind === "found" ? answer.records : []));
    return address === undefined ? undefined : { name, resolver: this.#newResolver([address]) };
  }

  #newResolver(servers: readonly string[]): Resolver {
    const resolver = new Resolver({ timeout: 2_000, tries: 2 });
    if (servers.length > 0) resolver.setServers(servers);
    this.#open.add(resolver);
    return resolver;
  }

  #cancel(): void {
    for (const resolver of this.#open) resolver.cancel();
  }
}

async function question(resolver: Resolver, name: string, type: string): Promise<unknown[]> {
  // reverse() would report a silent name server as a missing record.
  if (type === "PTR" && isIP(name) !== 0) return await resolver.resolvePtr(reverseName(name));
  return (await resolver.resolve(name, type)) as unknown[];
}

async function answerOf(asked: Promise<unknown[]>, type: RecordType): Promise<Answer> {
  try {
    const records = (await asked).map((record) => written(record, type)).sort();
    return records.length === 0 ? { kind: "absent" } : { kind: "found", records };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    if (code === "ENODATA" || code === "ENOTFOUND") return { kind: "absent" };
    return { kind: "failed", remark: failures[code] ?? "The question was not answered." };
  }
}

const failures: Readonly<Record<string, string>> = {
  TOO_MANY: `The check had asked its ${MOST_QUESTIONS} questions already.`,
  ETIMEOUT: "No name server answered in time.",
  ECANCELLED: "The check had to end before an answer came.",
  ESERVFAIL: "The name server says that it failed (SERVFAIL).",
  EREFUSED: "The name server refuses the question.",
  ECONNREFUSED: "The name server cannot be reached.",
};

/** One answer from those of several servers. Those that fail do not count beside one that has found something. */
function together(answers: ReadonlyArray<{ server: string; answer: Answer }>): Answer {
  const silent = answers.filter(({ answer }) => answer.kind === "failed").map(({ server }) => server);
  const said = answers.filter(({ answer }) => answer.kind !== "failed");
  const [first] = said;
  if (first === undefined)
    return { kind: "failed", remark: `No name server answered: ${silent.join(", ")}.` };
  const other = said.find(({ answer }) => key(answer) !== key(first.answer));
  if (other !== undefined)
    return { kind: "unequal", remark: `The name servers differ: ${tells(first)}, and ${tells(other)}.` };
  if (silent.length === 0) return first.answer;
  const remark = `${silent.join(", ")} did not answer.`;
  return first.answer.kind === "found" ? { ...first.answer, remark } : { kind: "failed", remark };
}

function key(answer: Answer): string {
  return answer.kind === "found" ? answer.records.join("\n").toLowerCase() : "";
}

function tells({ server, answer }: { server: string; answer: Answer }): string {
  return answer.kind === "found" ? `${server} has ${answer.records.join(" and ")}` : `${server} has none`;
}

function isWithin(name: string, zone: string): boolean {
  return name === zone || name.endsWith(`.${zone}`);
}

/** A record of node:dns as a zone file has it, names with a final dot. */
function written(record: unknown, type: RecordType): string {
  switch (type) {
    case "MX": {
      const { priority, exchange } = record as { priority: number; exchange: string };
      return `${priority} ${exchange}.`;
    }
    case "SRV": {
      const { priority, weight, port, name } = record as Record<string, string | number>;
      return `${priority} ${weight} ${port} ${name}.`;
    }
    case "CAA": {
      const { critical, ...property } = record as { critical: number };
      const [[tag, value] = ["", ""]] = Object.entries(property).filter(([name]) => name !== "type");
      return `${critical} ${tag} ${JSON.stringify(value)}`;
    }
    case "TXT":
      // A long text comes in pieces of up to 255 bytes.
      return (record as string[]).join("");
    case "A":
    case "AAAA":
      return String(record);
    default:
      return `${record}.`;
  }
}
