import type { IncomingMessage } from "node:http";
import { acceptedRevision } from "../../sync/acceptance.ts";
import { DKIM_CURSOR, type DkimAnswer, type DkimReport, dkimStates } from "../../sync/dkim.ts";
import { RefusedAnswer } from "../../sync/reader.ts";
import type { Report } from "../../sync/report.ts";
import type { UsageReport } from "../../sync/usage.ts";
import { ACCEPTANCE_HEADER, KEY_HEADER, paths } from "../../sync/wire.ts";
import { NotAccepted, TemporaryFailure, Unreachable, WrongAnswer } from "../faults.ts";
import { linesOf } from "./answer.ts";
import { Connection, type ConnectionOptions, defaultLimits } from "./connection.ts";
import { isKey, keyId } from "./key-file.ts";

/** The state that a node has. */
export interface Position {
  /** The ETag of the state. */
  tag: string;
  cursor: string;
}

export interface Question {
  /** The node's state; undefined to ask for everything. */
  position?: Position | undefined;
  /** Seconds that the server may wait with an answer without news. */
  wait?: number | undefined;
  /** Ends the wait, with its reason. */
  until?: AbortSignal | undefined;
}

/** An answer's content besides its maps. */
export interface AnswerHeaders {
  /** An operator's acceptance of removals: acceptance.ts. */
  accepted: string | undefined;
  /** True if it differs from the last answer's. A waiting node gets it at once, even without other news. */
  acceptedAnew: boolean;
}

export interface MapsAnswer<T> extends AnswerHeaders {
  /** The result of `take`; undefined if the server has nothing newer. */
  taken: T | undefined;
}

/** The client of the sync protocol. It keeps its connection between polls. */
export class Client {
  /** The HTTP status of the last answer about the maps; undefined until it arrives. */
  lastStatus: number | undefined;
  /** Seconds that the server was allowed to wait with it. */
  lastWait = 0;
  readonly #connection: Connection;
  readonly #bytes: number;
  #lastAccepted: string | undefined;

  constructor(options: ConnectionOptions) {
    this.#connection = new Connection(options);
    this.#bytes = options.limits?.bytes ?? defaultLimits.bytes;
  }

  /**
   * Asks for the maps, and passes their lines to `take` as they arrive.
   *
   * @throws RefusedAnswer, WrongAnswer, NotAccepted, TemporaryFailure, errors of `take`, and the reason of `until`
   */
  fetchMaps<T>(
    key: string,
    { position, wait = 0, until }: Question,
    take: (lines: AsyncIterable<string[]>) => Promise<T>,
  ): Promise<MapsAnswer<T>> {
    const headers: Record<string, string> = {
      Authorization: `Bearer ${key}`,
      Accept: "application/x-ndjson",
      "Accept-Encoding": "br, gzip",
    };
    if (position !== undefined) headers["If-None-Match"] = position.tag;
    if (wait > 0) headers.Prefer = `wait=${wait}`;
    if (this.#lastAccepted !== undefined) headers[ACCEPTANCE_HEADER] = this.#lastAccepted;
    const since = position === undefined ? "" : `?since=${encodeURIComponent(position.cursor)}`;
    const request = {
      method: "GET",
      path: `${paths.maps}${since}`,
      headers,
      wait: wait * 1000,
      until,
    } as const;
    this.lastStatus = undefined;
    this.lastWait = wait;
    return this.#connection.exchange(request, async (response) => {
      this.lastStatus = response.statusCode;
      if (isForAnother(response, key)) throw new RefusedAnswer("another_node", 1);
      const accepted = acceptanceIn(response);
      const acceptedAnew = this.#lastAccepted !== undefined && this.#lastAccepted !== (accepted ?? "");
      this.#lastAccepted = accepted ?? "";
      if (response.statusCode === 304 && position !== undefined) {
        await readShort(response);
        return { taken: undefined, accepted, acceptedAnew };
      }
      expectStatus(response, [200]);
      return { taken: await take(linesOf(response, this.#bytes)), accepted, acceptedAnew };
    });
  }

  /** @throws like fetchMaps */
  sendReport(key: string, report: Report): Promise<void> {
    return this.#connection.exchange(reporting(paths.report, key, report), async (response) => {
      expectStatus(response, [200, 202, 204]);
      await readShort(response);
    });
  }

  /** Reports usage. @returns false if the server is of an older version, which takes none. @throws like fetchMaps */
  sendUsage(key: string, report: UsageReport): Promise<boolean> {
    return this.#connection.exchange(reporting(paths.usage, key, report), async (response) => {
      expectStatus(response, [204, 404]);
      await readShort(response);
      return response.statusCode !== 404;
    });
  }

  /** Reports DKIM keys, and asks which ones DNS has. @throws like fetchMaps */
  reportDkim(key: string, report: DkimReport): Promise<DkimAnswer> {
    return this.#connection.exchange(reporting(paths.dkim, key, report), async (response) => {
      expectStatus(response, [200]);
      return readDkimAnswer(await readShort(response));
    });
  }

  /**
   * Asks for a new key. The present key stays valid until the new one is used, for a day at most.
   *
   * @throws like fetchMaps
   */
  exchangeKey(key: string): Promise<string> {
    const headers = { Authorization: `Bearer ${key}`, "Content-Length": "0" };
    const request = { method: "POST", path: paths.key, headers } as const;
    return this.#connection.exchange(request, async (response) => {
      if (response.statusCode === 403) {
        throw new NotAccepted(
          "the server does not exchange this key (403). Either an operator has made a new one with m25-mail node rotate-key: " +
            "remove the key file, and run m25-mail-node join with that key. Or this key may not be used from this address",
        );
      }
      expectStatus(response, [200]);
      return readFreshKey(await readShort(response), key);
    });
  }

  /** Uses `key` once, and ignores the maps. @throws like fetchMaps */
  proveKey(key: string): Promise<void> {
    const headers = { Authorization: `Bearer ${key}`, "Accept-Encoding": "br" };
    return this.#connection.exchange({ method: "GET", path: paths.maps, headers }, async (response) => {
      expectStatus(response, [200, 304]);
    });
  }

  close(): void {
    this.#connection.close();
  }
}

function expectStatus(response: IncomingMessage, wanted: readonly number[]): void {
  const status = response.statusCode ?? 0;
  if (wanted.includes(status)) return;
  if (status === 401) {
    throw new NotAccepted(
      "the server does not accept the key (401). Either it was exchanged already, has ended, or its node was removed: " +
        "m25-mail node rotate-key NAME, at the server, makes another. Or --server is not the server's own address",
    );
  }
  if (status === 403) throw new NotAccepted("the server does not accept the key from this address (403)");
  const after = retryAfter(response);
  // A proxy, or a server that stops, sends these: another server may answer soon.
  if (status >= 502 && status <= 504) throw new Unreachable(`the server answered ${status}`, after);
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    throw new TemporaryFailure(`the server answered ${status}`, after);
  }
  if (status >= 300 && status < 400 && status !== 304) {
    throw new WrongAnswer(
      `the server answered with a redirect (${status}), which the program never follows: correct --server`,
    );
  }
  throw new WrongAnswer(`the server answered ${status}: is --server right?`);
}

/** The Retry-After header (RFC 9110 10.2.3), seconds or a date, in milliseconds. */
function retryAfter(response: IncomingMessage): number | undefined {
  const value = response.headers["retry-after"];
  if (value === undefined) return undefined;
  const wait = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(wait) && wait > 0 ? wait : undefined;
}

/** True if the answer names another key than the request's. Other server programs may name none. */
function isForAnother({ headers }: IncomingMessage, key: string): boolean {
  const id = headers[KEY_HEADER];
  return id !== undefined && id !== keyId(key);
}

function acceptanceIn({ headers }: IncomingMessage): string | undefined {
  const word = headers[ACCEPTANCE_HEADER];
  return typeof word === "string" && acceptedRevision(word) !== undefined ? word : undefined;
}

const MAX_SHORT = 1 << 16;

/** Reads a short answer to its end. */
async function readShort(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of response) {
    pieces.push(piece as Buffer);
    bytes += (piece as Buffer).length;
    if (bytes > MAX_SHORT) break;
  }
  return Buffer.concat(pieces).toString();
}

/** @throws WrongAnswer, which repeats nothing of the answer */
function readFreshKey(text: string, old: string): string {
  let fresh: unknown;
  try {
    fresh = (JSON.parse(text) as { sync_key?: unknown } | null)?.sync_key;
  } catch {
    // Treated below like any other answer without a key.
  }
  if (typeof fresh === "string" && isKey(fresh) && fresh !== old) return fresh;
  throw new WrongAnswer("the server's answer holds no fresh key: is --server right?");
}

/** @throws WrongAnswer */
function readDkimAnswer(text: string): DkimAnswer {
  try {
    const answer = JSON.parse(text) as DkimAnswer;
    const states = Object.values(answer.keys);
    if (
      DKIM_CURSOR.test(answer.cursor) &&
      typeof answer.more === "boolean" &&
      states.every((state) => dkimStates.includes(state))
    )
      return answer;
  } catch {
    // Said below.
  }
  throw new WrongAnswer("the server's answer about DKIM keys is none: is it of an older version?");
}

/** The request that sends a report. */
function reporting(path: string, key: string, report: object) {
  const body = JSON.stringify(report);
  const headers = {
    Authorization: `Bearer ${key}`,
    "Content-Type": "application/json",
    "Content-Length": String(Buffer.byteLength(body)),
  };
  return { method: "POST", path, headers, body } as const;
}
