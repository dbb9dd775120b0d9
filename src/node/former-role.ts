import { askUser } from "./daemons/dovecot.ts";
import { fileNames, hasFile, removeDatabase } from "./replica/files.ts";
import { readNotes, writeNotes } from "./replica/notes.ts";
import { attach, type Replica } from "./replica/replica.ts";
import type { Session } from "./session.ts";

/** Counted hours, as in losses.ts. */
const KEPT = 24;

/**
 * Removes the state of a node's former role. An mx's state goes at once. A mail node's logins stay unchanged on an mx,
 * because the role may be a mistake, and a Dovecot without them refuses everybody. They go once nothing is withheld and
 * Dovecot has not used them for 24 counted hours; it is asked once an hour.
 */
export async function clearFormerRole(session: Session, replica: Replica): Promise<void> {
  const { meta, folder, withheld } = replica;
  if (meta?.role === "mail") return await removeDatabase(folder, fileNames.node);
  if (meta?.role !== "mx" || withheld.addresses > 0) return;
  if (!(await hasFile(folder, fileNames.logins))) return;
  const { ledger, former } = await readNotes(replica);
  const hour = ledger?.hours.count ?? 0;
  if (former === undefined) {
    session.machine.log(
      "this node is an mx now: logins.db gets no more changes, and is removed a day after Dovecot last used it",
    );
    return await writeNotes(replica, { former: { used: hour, asked: hour } });
  }
  if (hour <= former.asked) return;
  const used = (await isUsed(session, replica)) ? hour : former.used;
  if (hour - used < KEPT) return await writeNotes(replica, { former: { used, asked: hour } });
  await removeDatabase(folder, fileNames.logins);
  session.machine.log("removed logins.db, which an mx does not use");
  await writeNotes(replica, { former: undefined });
}

/** True if Dovecot still has this file's home for one of the logins. */
async function isUsed({ machine, daemons }: Session, { db, folder }: Replica): Promise<boolean> {
  if (daemons.doveadm === undefined) return false;
  await attach(db, "former", `${folder}/${fileNames.logins}`);
  const [user, home] = await db.run(
    "SELECT user FROM former.dovecot_user LIMIT 1;\nSELECT home FROM former.dovecot_user LIMIT 1;",
  );
  await db.run("DETACH former;");
  const known = user === undefined ? null : await askUser(machine, daemons.doveadm, user);
  return known !== null && typeof known !== "string" && known.home === home;
}
