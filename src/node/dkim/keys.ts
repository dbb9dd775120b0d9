import { DKIM_DAYS } from "../../mail/dkim-key.ts";
import type { DkimAnswer, DkimState } from "../../sync/dkim.ts";

/** A key of a domain. Its private half is in a file of its own. */
export interface SigningKey {
  selector: string;
  /** `new`: the server has not acknowledged it. Once `seen`, always so: then the node signs with it. */
  state: "new" | DkimState;
  /** When the node stopped to sign with it, RFC 3339; absent for a present key. */
  ended?: string;
}

/** The node's record of its keys, kept in keys.json. */
export interface KeyBook {
  /** The server's position in its answers to this node. */
  cursor: string;
  domains: Record<string, DomainKeys>;
  /** A digest of the tables that the signer has read. */
  tables: string;
}

interface DomainKeys {
  /** Oldest first. */
  keys: SigningKey[];
  /** The server knows which keys are present. */
  told: boolean;
}

/** A resident program's last run of keepKeys(). Times in ms of the monotonic clock. */
export interface KeyRun {
  ranAt?: number;
  askedAt?: number;
  /** The domains of that run. */
  served?: string;
  /** The domains whose mail is signed by the tables that the signer has read. */
  signing?: ReadonlySet<string>;
  /** There is more to do at once. */
  isUnfinished?: boolean;
  warning?: string | undefined;
}

export const emptyBook = (): KeyBook => ({ cursor: "", domains: {}, tables: "" });

const DAY = 86_400_000;

/** The keys to which the server must know the public halves: the one that signs, and a newer one that waits for DNS. */
export function presentKeys({ keys }: DomainKeys): SigningKey[] {
  return keys.filter(({ ended }) => ended === undefined);
}

/** The key that signs: the newest one that the server has seen in DNS. */
export function signingKey(domain: DomainKeys): SigningKey | undefined {
  return presentKeys(domain).findLast(isSeen);
}

function isSeen({ state }: SigningKey): boolean {
  return state === "seen" || state === "replace";
}

/** The served domains that need a key: those without one, and those whose newest one must be replaced. */
export function lackingKey({ domains }: KeyBook, served: readonly string[]): string[] {
  return served.filter((name) => {
    const newest = domains[name] && presentKeys(domains[name]).at(-1);
    return newest === undefined || newest.state === "replace";
  });
}

export function addKey({ domains }: KeyBook, name: string, selector: string): void {
  const domain = domains[name] ?? { keys: [], told: false };
  domain.keys.push({ selector, state: "new" });
  domain.told = false;
  domains[name] = domain;
}

/**
 * Ends the keys of domains that are no longer served, and those that a newer one has replaced; a domain that returns gets its
 * last one back. Removes ended keys when their mail has arrived.
 *
 * @returns the selectors of the removed keys, and how many were ended
 */
export function settleKeys(
  { domains }: KeyBook,
  served: ReadonlySet<string>,
  now: number,
): { removed: string[]; ended: number } {
  const removed: string[] = [];
  let ended = 0;
  const end = (domain: DomainKeys, key: SigningKey) => {
    key.ended = new Date(now).toISOString();
    domain.told = false;
    ended += 1;
  };
  for (const [name, domain] of Object.entries(domains)) {
    const present = presentKeys(domain);
    const last = domain.keys.at(-1);
    if (!served.has(name)) for (const key of present) end(domain, key);
    else if (present.length === 0 && last !== undefined) {
      delete last.ended;
      domain.told = false;
    } else {
      const signing = signingKey(domain);
      const replaced = signing === undefined ? [] : present.slice(0, present.indexOf(signing));
      for (const key of replaced) end(domain, key);
    }
    const isOld = ({ ended }: SigningKey) => ended !== undefined && now - Date.parse(ended) > DKIM_DAYS * DAY;
    removed.push(...domain.keys.filter(isOld).map(({ selector }) => selector));
    domain.keys = domain.keys.filter((key) => !isOld(key));
    if (domain.keys.length === 0 && domain.told) delete domains[name];
  }
  return { removed, ended };
}

/** Forgets keys whose files are lost. */
export function dropKeys({ domains }: KeyBook, isLost: (selector: string) => boolean): number {
  let lost = 0;
  for (const domain of Object.values(domains)) {
    const kept = domain.keys.filter(({ selector }) => !isLost(selector));
    lost += domain.keys.length - kept.length;
    if (kept.length < domain.keys.length) domain.told = false;
    domain.keys = kept;
  }
  return lost;
}

/** Takes the server's answer to a report of these domains. */
export function takeAnswer(book: KeyBook, reported: readonly string[], answer: DkimAnswer): void {
  if (answer.cursor === "") {
    // Another database, or this node was added again.
    for (const domain of Object.values(book.domains)) domain.told = false;
  }
  book.cursor = answer.cursor;
  for (const domain of Object.values(book.domains)) {
    for (const key of presentKeys(domain)) {
      const state = answer.keys[key.selector];
      // A restored server may not know yet what it had seen.
      if (state !== undefined && !(state === "known" && isSeen(key))) key.state = state;
    }
  }
  if (answer.cursor === "") return;
  for (const name of reported) {
    const domain = book.domains[name];
    // The server takes no keys of domains that it does not know; it may learn of them later.
    if (domain !== undefined) domain.told = presentKeys(domain).every(({ state }) => state !== "new");
  }
}
