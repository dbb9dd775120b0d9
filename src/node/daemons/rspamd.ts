import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeDurably } from "../../machine/durable-file.ts";
import { explain } from "../faults.ts";
import type { Replica } from "../replica/replica.ts";
import type { Session } from "../session.ts";

/** The group of Debian's rspamd. */
const GROUP = "_rspamd";
/** In DIR, for deploy/rspamd-rspamd.lua. */
const FILE = "hosted-domains";

/**
 * Writes the names of the served domains, and of their aliases, where rspamd reads them; nothing without rspamd. A fault is a
 * warning only: rspamd keeps what it has.
 */
export async function listDomains(session: Session, replica: Replica): Promise<void> {
  const { machine, config } = session;
  const { meta } = replica;
  const gid = machine.root ? await machine.group(GROUP) : undefined;
  if (gid === undefined || meta?.ready !== 1) return;
  const listed = `${gid} ${meta.history} ${meta.revision} ${meta.domains} ${meta.domain_aliases}`;
  if (listed === session.listed) return;
  session.listed = listed;
  try {
    const names = await replica.db.run("SELECT key FROM state.domain ORDER BY 1;");
    const text = names.map((name) => `${name}\n`).join("");
    const path = join(config.out, FILE);
    if ((await readFile(path, "utf8").catch(() => undefined)) === text) return;
    await writeDurably(path, text, { mode: 0o640, owner: { uid: 0, gid } });
  } catch (error) {
    session.listed = undefined;
    machine.log(`warning: rspamd does not know the domains: ${explain(error)}`);
  }
}
