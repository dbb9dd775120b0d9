import type { Machine } from "../../machine/machine.ts";
import { type DkimReport, MOST_DKIM_DOMAINS } from "../../sync/dkim.ts";
import { explain } from "../faults.ts";
import type { Replica } from "../replica/replica.ts";
import type { Session } from "../session.ts";
import { count } from "../words.ts";
import { KeyFolder } from "./folder.ts";
import {
  addKey,
  type KeyBook,
  type KeyRun,
  lackingKey,
  presentKeys,
  settleKeys,
  signingKey,
  takeAnswer,
} from "./keys.ts";
import { reloadSigner } from "./signer.ts";

/** Keys made at the same time: Node's thread pool has four threads. */
const AT_ONCE = 4;
/** ms for keys and reports in one run; then news of mailboxes comes first. */
const BUDGET = 5_000;
/** ms between two runs without other reasons. */
const EVERY = 50_000;
/** ms between two questions to the server while each key has been seen. */
const ASK_EVERY = 600_000;

/**
 * Keeps a DKIM key for each served domain: makes it, reports its public half, signs with it once the server has seen its record,
 * and removes it when its mail is old. A fault is a warning only: polls go on, and the signer keeps what it has.
 */
export async function keepKeys(session: Session, replica: Replica): Promise<void> {
  const { config, machine, keyRun } = session;
  if (config.dkim === undefined || replica.meta?.ready !== 1) return;
  const { role, history, domains, domain_aliases } = replica.meta;
  const served = `${role} ${history} ${domains} ${domain_aliases}`;
  const isDue = !(machine.clock.monotonic() - (keyRun.ranAt ?? -EVERY) < EVERY);
  if (!isDue && served === keyRun.served && keyRun.isUnfinished !== true) return;
  Object.assign(keyRun, { ranAt: machine.clock.monotonic(), served });
  try {
    await run(
      session,
      await KeyFolder.open(machine, config.dkim),
      role === "mx" ? [] : await servedNames(replica),
    );
    keyRun.warning = undefined;
  } catch (error) {
    keyRun.isUnfinished = false;
    const warning = `warning: DKIM: ${explain(error)}`;
    if (warning !== keyRun.warning) machine.log(warning);
    keyRun.warning = warning;
  }
}

async function run(session: Session, folder: KeyFolder, served: readonly string[]): Promise<void> {
  const { machine, keyRun } = session;
  keyRun.signing ??= signingDomains(folder.book);
  const names = new Set(served);
  const now = machine.clock.now();
  const end = machine.clock.monotonic() + BUDGET;
  const isOver = () => machine.clock.monotonic() >= end;
  const { removed } = settleKeys(folder.book, names, now);
  const isComplete = await makeKeys(machine, folder, served, isOver);
  // Before the server hears of a key, the node must not forget it any more.
  await folder.save();
  const isTold = await tellServer(session, folder, isOver);
  const { ended } = settleKeys(folder.book, names, now);
  const tables = await folder.writeTables();
  if (tables !== folder.book.tables && (await reloadSigner())) {
    folder.book.tables = tables;
    sayBegun(session, folder.book);
  }
  await folder.save();
  for (const selector of removed) await folder.removeKey(selector);
  keyRun.isUnfinished = !isComplete || !isTold || ended > 0;
}

/** The served domains and domain aliases, in their A-label form. Domains that are withheld are served. */
async function servedNames(replica: Replica): Promise<string[]> {
  return await replica.db.run("SELECT DISTINCT coalesce(alias, name) FROM state.domain ORDER BY 1;");
}

/** @returns false if the time was over first */
async function makeKeys(
  machine: Machine,
  folder: KeyFolder,
  served: readonly string[],
  isOver: () => boolean,
): Promise<boolean> {
  const lacking = lackingKey(folder.book, served);
  let made = 0;
  while (made < lacking.length && !isOver()) {
    const some = lacking.slice(made, made + AT_ONCE);
    const selectors = await Promise.all(some.map(() => folder.makeKey()));
    for (const [index, name] of some.entries()) addKey(folder.book, name, selectors[index] ?? "");
    made += some.length;
  }
  if (made > 0)
    machine.log(`made ${count(made, "DKIM key")}: m25-mail check DOMAIN, at the server, shows the records`);
  return made === lacking.length;
}

/**
 * Reports the keys of domains that the server does not know yet, some at a time, and asks for news of the others.
 *
 * @returns false if the time was over first
 * @throws like Client.reportDkim
 */
async function tellServer(session: Session, folder: KeyFolder, isOver: () => boolean): Promise<boolean> {
  const { machine, client, key, keyRun } = session;
  const { book } = folder;
  const sent = new Set<string>();
  const untold = () =>
    Object.keys(book.domains).filter((name) => !book.domains[name]?.told && !sent.has(name));
  let more = untold().length > 0 || isQuestionDue(book, keyRun, machine.clock.monotonic());
  while (more && !isOver()) {
    const names = untold().slice(0, MOST_DKIM_DOMAINS);
    const keys: Record<string, string[]> = {};
    for (const name of names) keys[name] = await folder.publicKeys(name);
    const report: DkimReport = { cursor: book.cursor, keys };
    const answer = await client.reportDkim(key, report);
    takeAnswer(book, names, answer);
    if (answer.cursor !== "") for (const name of names) sent.add(name);
    more = answer.more || untold().length > 0;
    keyRun.askedAt = machine.clock.monotonic();
  }
  return !more;
}

function isQuestionDue({ domains }: KeyBook, { askedAt }: KeyRun, now: number): boolean {
  const isWaiting = Object.values(domains).some((domain) =>
    presentKeys(domain).some(({ state }) => state === "known"),
  );
  return isWaiting || askedAt === undefined || now - askedAt >= ASK_EVERY;
}

/** Logs the domains that the signer's new tables have more than its former ones. */
function sayBegun({ machine, keyRun }: Session, book: KeyBook): void {
  const signing = signingDomains(book);
  const begun = [...signing].filter((name) => keyRun.signing?.has(name) !== true);
  if (begun.length > 0)
    machine.log(`signs mail of ${begun.length > 5 ? count(begun.length, "more domain") : begun.join(", ")}`);
  keyRun.signing = signing;
}

function signingDomains({ domains }: KeyBook): ReadonlySet<string> {
  return new Set(Object.keys(domains).filter((name) => domains[name] && signingKey(domains[name])));
}
