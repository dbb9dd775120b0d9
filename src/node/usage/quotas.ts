import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { systemCode } from "../../machine/faults.ts";

/** How full a mailbox is, as Dovecot counts it. */
export interface MailboxSize {
  kib: number;
  messages: number;
}

/** Dovecot does not answer at its socket, or is not set up yet. */
export class DovecotAway extends Error {}

/** ms without an answer: the first count of a large mailbox reads the size of each message. */
const PATIENCE = 120_000;

/**
 * Asks Dovecot for the sizes of mailboxes by doveadm's protocol (doc.dovecot.org, doveadm protocol), the same in 2.3 and 2.4. Its
 * server does the work, one mailbox after the other: this program may not read mail, and needs no process for each mailbox.
 *
 * @param path that of the socket doveadm-server
 * @returns those that it knows
 * @throws DovecotAway; Error if it answers anything else
 */
export async function askSizes(
  path: string,
  users: readonly string[],
  signal?: AbortSignal,
): Promise<Map<string, MailboxSize>> {
  const socket = await connected(path, signal);
  try {
    socket.setTimeout(PATIENCE, () =>
      socket.destroy(new Error("Dovecot does not tell the sizes of mailboxes")),
    );
    const lines = linesOf(socket);
    socket.write("VERSION\tdoveadm-server\t1\t0\n");
    if ((await next(lines)) !== "+") throw new Error("Dovecot does not let doveadm in");
    const sizes = new Map<string, MailboxSize>();
    for (const user of users) {
      socket.write(`\t${user}\tquota get\n`);
      const size = sizeIn(await next(lines));
      if ((await next(lines)) === "+" && size !== undefined) sizes.set(user, size);
    }
    return sizes;
  } finally {
    socket.destroy();
  }
}

async function connected(path: string, signal: AbortSignal | undefined): Promise<Socket> {
  const socket = connect({ path, ...(signal && { signal }) });
  try {
    await once(socket, "connect");
  } catch (error) {
    throw /^(ENOENT|ECONNREFUSED)$/.test(systemCode(error) ?? "") ? new DovecotAway() : error;
  }
  return socket;
}

/** @throws the socket's error */
async function* linesOf(socket: Socket): AsyncGenerator<string> {
  let rest = "";
  for await (const piece of socket.setEncoding("utf8")) {
    const lines = `${rest}${piece}`.split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

async function next(lines: AsyncGenerator<string>): Promise<string> {
  const { value, done } = await lines.next();
  if (done === true) throw new Error("Dovecot has ended the connection to doveadm");
  return value;
}

/** Reads the first root's fields: name, type, value, limit and percentage of each resource. */
function sizeIn(line: string): MailboxSize | undefined {
  const fields = line.split("\t");
  const value = (type: string): number => Number(fields[fields.indexOf(type) + 1] ?? "");
  const [kib, messages] = [value("STORAGE"), value("MESSAGE")];
  const isSize = [kib, messages].every((number) => Number.isSafeInteger(number) && number >= 0);
  return isSize && fields.includes("STORAGE") ? { kib, messages } : undefined;
}
