import { createConnection, createServer } from "node:net";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { temporaryFolder } from "./store.ts";

const SOCKET = ".s.PGSQL.5432";

/**
 * A socket in front of PostgreSQL's that counts round trips: it holds answers back until all questions so far are answered.
 *
 * @param folder that of PostgreSQL's socket
 * @returns the folder of this one, and the round trips of each connection so far
 */
export async function countRoundTrips(folder: string): Promise<{ folder: string; trips: number[] }> {
  const trips: number[] = [];
  const server = createServer((client) => {
    const database = createConnection(join(folder, SOCKET));
    const place = trips.push(0) - 1;
    const asked = messages("QS", { isClient: true });
    const answered = messages("Z");
    let held: Buffer[] = [];
    let waits = 0;
    client.on("data", (chunk: Buffer) => {
      waits += asked(chunk);
      database.write(chunk);
    });
    database.on("data", (chunk: Buffer) => {
      const ends = answered(chunk);
      waits -= ends;
      held.push(chunk);
      if (waits > 0) return;
      if (ends > 0) trips[place] = (trips[place] ?? 0) + 1;
      client.write(Buffer.concat(held));
      held = [];
    });
    client.on("close", () => database.destroy()).on("error", () => {});
    database.on("close", () => client.destroy()).on("error", () => {});
  });
  const own = temporaryFolder();
  await new Promise<void>((resolve) => server.listen(join(own, SOCKET), resolve));
  onTestFinished(() => void server.close());
  return { folder: own, trips };
}

/**
 * Counts messages of these types in one direction of PostgreSQL's protocol (chapter 55 of its manual). The client's first
 * message has no type, and waits for an answer.
 */
function messages(types: string, { isClient = false } = {}): (chunk: Buffer) => number {
  let rest = isClient ? Buffer.from("Q") : Buffer.alloc(0);
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    let number = 0;
    for (let end = lengthOf(rest); end <= rest.length; end = lengthOf(rest)) {
      if (types.includes(rest.toString("latin1", 0, 1))) number += 1;
      rest = rest.subarray(end);
    }
    return number;
  };
}

/** The length of the first message; Infinity until it is known. */
function lengthOf(buffer: Buffer): number {
  return buffer.length < 5 ? Number.POSITIVE_INFINITY : 1 + buffer.readUInt32BE(1);
}
