import type { NodeRole } from "../../sync/records.ts";
import { stateFile } from "./files.ts";
import { attach, attachAddresses, attachState, type Place, type Replica } from "./replica.ts";

/**
 * Opens a role's file as the state, if it is not open yet.
 *
 * @returns the schema from which to adopt earlier records: the other role's state, or the addresses if the state is lost
 */
export async function useStateOf(
  place: Place,
  replica: Replica,
  role: NodeRole,
): Promise<"former" | "addresses" | undefined> {
  const { db, folder, stateName } = replica;
  const name = stateFile(role);
  if (stateName === name) return replica.meta?.role === "" ? "addresses" : undefined;
  await db.run("DETACH addresses;");
  if (stateName !== undefined) {
    await db.run("DETACH state;");
    replica.inodes.delete(stateName);
    await attach(db, "former", `${folder}/${stateName}`);
  }
  await attachState(place, replica, name);
  await attachAddresses(place, replica);
  replica.replaced = name;
  return stateName === undefined ? "addresses" : "former";
}

/** Adopts the mailboxes of the former file, so that losses.ts counts each that goes. */
export function adoption(from: "former" | "addresses" | undefined): string[] {
  if (from === undefined) return [];
  if (from === "addresses")
    return [
      "INSERT OR IGNORE INTO state.domain SELECT key, name, 1, alias, NULL FROM addresses.domain;",
      "INSERT OR IGNORE INTO state.mailbox(domain, local) SELECT domain, local FROM addresses.address;",
      `INSERT OR IGNORE INTO state.mailbox(domain, local, leads, send_as)
        SELECT domain, '~' || local, leads, send_as FROM addresses.alias;`,
      `INSERT OR IGNORE INTO state.mailbox(domain, local, leads)
        SELECT alias, '~~', json_array(name, max(key)) FROM addresses.domain WHERE alias IS NOT NULL GROUP BY alias;`,
      "UPDATE state.meta SET users = (SELECT count(*) FROM state.mailbox);",
    ];
  const copied = ["domain", "gone", "peak", "note"].flatMap((table) => [
    `DELETE FROM state.${table};`,
    `INSERT INTO state.${table} SELECT * FROM former.${table};`,
  ]);
  return [
    ...copied,
    "DELETE FROM state.mailbox WHERE (domain, local) NOT IN (SELECT domain, local FROM former.mailbox);",
    // A node that was an mx for less than a day still has its former hashes.
    `INSERT INTO state.mailbox SELECT domain, local, NULL, NULL, NULL, withheld, login, NULL, leads, send_as, kept, NULL
        FROM former.mailbox WHERE true
      ON CONFLICT (domain, local) DO UPDATE SET withheld = excluded.withheld, login = excluded.login,
        leads = excluded.leads, send_as = excluded.send_as, kept = excluded.kept,
        password = CASE WHEN excluded.login IS NULL THEN NULL ELSE mailbox.password END;`,
    `UPDATE state.meta SET (role, history, revision, users, aliases, domain_aliases) =
      (SELECT role, history, revision, users, aliases, domain_aliases FROM former.meta);`,
  ];
}
