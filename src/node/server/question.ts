import { stateTag } from "../../sync/answer.ts";
import { RefusedAnswer } from "../../sync/reader.ts";
import { explain, TemporaryFailure, WrongAnswer } from "../faults.ts";
import { FilesReplaced, whileInPlace } from "../replica/in-place.ts";
import { type Incoming, RefusedDelta, takeAnswer } from "../replica/incoming.ts";
import type { Notes } from "../replica/notes.ts";
import type { Meta, Replica } from "../replica/replica.ts";
import { SqliteError } from "../replica/sqlite.ts";
import type { Session } from "../session.ts";
import type { MapsAnswer, Position, Question } from "./client.ts";

/** A refused answer. If it was a delta, the node asked for everything, and refused that too or did not get it. */
export interface Refusal {
  refusal: RefusedAnswer | WrongAnswer;
  /** How long the server asks to wait, in milliseconds. */
  retryAfter?: number | undefined;
}

/** Records between two lines of progress. A change has fewer; the whole state of many mailboxes takes a while. */
const TOLD_EVERY = 10_000;

async function* withProgress(pieces: AsyncIterable<string[]>, log: (line: string) => void) {
  let received = 0;
  let next = TOLD_EVERY;
  for await (const lines of pieces) {
    yield lines;
    received += lines.length;
    if (received < next) continue;
    log(`received ${received} records so far`);
    next = received + TOLD_EVERY;
  }
}

/**
 * Asks for changes, and takes them into the temporary tables; if the node refuses them, asks for everything.
 *
 * @throws NotAccepted, TemporaryFailure, ConfigurationError, SqliteError, FilesReplaced
 */
export async function askServer(
  { machine, client, key }: Session,
  replica: Replica,
  { wait, notes }: { wait: number; notes: Notes },
): Promise<MapsAnswer<Incoming> | Refusal> {
  const read = async (lines: AsyncIterable<string[]>): Promise<Incoming> => {
    const incoming = await takeAnswer(replica, withProgress(lines, machine.log));
    refuseReturn(incoming, replica, notes);
    return incoming;
  };
  const ask = async (question: Omit<Question, "until">) =>
    await whileInPlace(replica, machine.log, (until) => client.fetchMaps(key, { ...question, until }, read));
  try {
    return await ask({ position: positionOf(replica.meta), wait });
  } catch (refusal) {
    if (!(refusal instanceof RefusedDelta)) return refusalIn(refusal);
    machine.log(`refused the changes that the server sent, asking for everything: ${refusal.message}`);
    try {
      return await ask({});
    } catch (error) {
      if (error instanceof SqliteError || error instanceof FilesReplaced) throw error;
      machine.log(explain(error));
      return { refusal, retryAfter: error instanceof TemporaryFailure ? error.retryAfter : undefined };
    }
  }
}

/** The state from which to ask for changes; undefined to ask for everything, as where the files are doubtful. */
export function positionOf(meta: Meta | undefined): Position | undefined {
  return meta?.ready !== 1 ? undefined : { tag: stateTag(meta), cursor: meta.cursor };
}

function refusalIn(error: unknown): Refusal {
  if (error instanceof RefusedAnswer || error instanceof WrongAnswer) return { refusal: error };
  throw error;
}

/** An answer of a history that this node has left for a later one. */
export class ReturnedHistory extends RefusedAnswer {
  readonly history: string;

  constructor(history: string) {
    super("returned_history", 1);
    this.history = history;
  }
}

/** Answers in a row; a resident program gets them in about half an hour. */
const ALONE = 10;

/**
 * Keeps a node from following two databases behind one address in turn. It refuses a history that it has left, until that
 * history alone has answered ALONE times: then somebody has put an old file back by hand.
 */
function refuseReturn(
  { header: { history } }: Incoming,
  { meta }: Replica,
  { ledger, returned }: Notes,
): void {
  if (history === meta?.history || ledger?.left.includes(history) !== true) return;
  if (returned?.history === history && returned.times >= ALONE) return;
  throw new ReturnedHistory(history);
}
