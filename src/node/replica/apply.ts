import { type Header, PROTOCOL } from "../../sync/answer.ts";
import {
  ALIAS_KEY,
  type ApplyOptions,
  type Change,
  type Comparison,
  compare,
  describePlan,
  isAlias,
  SAME,
  SAMPLE,
} from "./comparison.ts";
import { FilesReplaced } from "./in-place.ts";
import type { Incoming } from "./incoming.ts";
import {
  acceptedUpTo,
  firstLedger,
  judgeLoss,
  type Ledger,
  leaveHistory,
  passHour,
  type Verdict,
} from "./losses.ts";
import { type Changes, mergeChanges, noteStatements, readNotes } from "./notes.ts";
import { changedProjection, wholeProjection } from "./projection.ts";
import { isAsCommitted, type Meta, type Place, type Replica, readMeta, readState } from "./replica.ts";
import { literal } from "./sqlite.ts";
import { adoption, useStateOf } from "./state-file.ts";

/** The numbers of a change, with some keys to look up. Holds no hash. */
export interface Applied {
  revision: number;
  domains: { added: number; removed: number };
  /** Mailboxes, aliases and domain aliases. */
  addresses: { added: number; changed: number; removed: number };
  /** In service although the server no longer has them. */
  withheld: number;
  sample: Changes;
}

/**
 * Applies an answer to the replica in one transaction, within the rule of losses.ts. Without an answer, it carries out
 * accepted removals.
 *
 * @throws SqliteError, FilesReplaced: then nothing is changed
 */
export async function applyIncoming(
  place: Place,
  replica: Replica,
  incoming: Incoming | undefined,
  options: ApplyOptions,
): Promise<Applied> {
  const { db } = replica;
  if (incoming === undefined) await db.run("DELETE FROM temp.incoming_domain;\nDELETE FROM temp.incoming;");
  const header = incoming?.header ?? headerOf(replica.meta);
  const former = await useStateOf(place, replica, header.role);
  await db.run(["BEGIN IMMEDIATE;", ...adoption(former)].join("\n"));
  try {
    const meta = await readMeta(db);
    if (former === undefined && !(await isAsCommitted(replica))) throw new FilesReplaced();
    // Read inside the transaction: an operator may accept removals at this node at any time.
    const { unproved, accepted, ...noted } = await readNotes(replica);
    const ledger = ledgerFor(noted.ledger, meta, header, options);
    const known = meta?.history === header.history;
    const here = known && accepted?.history === header.history ? accepted.revision : -1;
    const limit = Math.max(acceptedUpTo(ledger, options.accepted), here);
    const byName = known && meta?.role === header.role;
    const change: Change = { header, ledger, options, known, byName, limit, unproved };
    const comparison = await compare(replica, change);
    if (options.dryRun !== undefined) await describePlan(replica, header.role, options.dryRun);
    const verdict = judgeLoss(comparison.loss, options.thresholds);
    const applied = await carryOut(replica, change, { ...comparison, verdict });
    await db.run(options.dryRun === undefined ? "COMMIT;" : "ROLLBACK;");
    if (former === "former") await db.run("DETACH former;");
    await readState(replica);
    return applied;
  } catch (error) {
    if (!db.over) await db.run("ROLLBACK;");
    throw error;
  }
}

/** The header of a state that does not change. */
function headerOf(meta: Meta | undefined): Header {
  if (meta === undefined || meta.role === "") throw new Error("there is no state");
  const { role, history, revision, digest, cursor, domains, users, aliases, domain_aliases } = meta;
  const counts = { domains, users, aliases, domain_aliases };
  return { protocol: PROTOCOL, kind: "delta", role, history, revision, digest, counts, cursor };
}

function ledgerFor(
  noted: Ledger | undefined,
  meta: Meta | undefined,
  { history }: Header,
  { now, accepted }: ApplyOptions,
): Ledger {
  const ledger = passHour(noted ?? firstLedger(now), now);
  if (meta === undefined || meta.history === history) return ledger;
  return leaveHistory(ledger, meta.history, accepted);
}

type Judged = Comparison & { verdict: Verdict };

/** Writes the change, and the removals that the verdict lets through, into both files. */
async function carryOut(replica: Replica, change: Change, judged: Judged): Promise<Applied> {
  const { db } = replica;
  const { header } = change;
  const { verdict, loss, sample } = judged;
  await db.run([...setRecords(header), ...removeRenamed, ...markLost(change)].join("\n"));
  const going = removalCondition(verdict, change.limit);
  // A mailbox may be an alias too: an address is gone once it is neither.
  sample.users.removed = await db.run(
    `SELECT local || '@' || domain FROM (SELECT domain, local FROM temp.renamed
      UNION SELECT domain, local FROM state.mailbox WHERE ${going} AND local < '~') a
      WHERE NOT EXISTS (SELECT 1 FROM state.mailbox o WHERE o.domain = a.domain AND o.local = '~' || a.local)
      LIMIT ${SAMPLE};`,
  );
  sample.aliases.removed = await db.run(
    `SELECT ${ALIAS_KEY} FROM state.mailbox i WHERE ${going} AND ${isAlias("i")}
      AND NOT EXISTS (SELECT 1 FROM state.mailbox o WHERE o.domain = i.domain AND o.local = substr(i.local, 2))
      LIMIT ${SAMPLE};`,
  );
  await db.run(removeLost(verdict, going, change).join("\n"));
  const removedDomains = new Set(
    await db.run(
      `DELETE FROM state.domain WHERE listed = 0
        AND NOT EXISTS (SELECT 1 FROM state.mailbox m WHERE m.domain = name) RETURNING name;`,
    ),
  );
  const removedNames = await db.run(setDomainAliases.join("\n"));
  sample.domains.removed = [...new Set([...removedDomains, ...removedNames])].slice(0, SAMPLE);
  const whole = header.kind === "snapshot" || loss.accepted > 0 || (!verdict.withhold && loss.withheld > 0);
  const removed = verdict.withhold ? (verdict.anew ? loss.accepted : 0) : loss.fresh + loss.withheld;
  const withheld = loss.fresh + loss.withheld - removed;
  const statements = [
    ...noteStatements({ unproved: mergeChanges(change.unproved, sample) }),
    ...(header.role === "mail" ? [noteEnding] : []),
    ...conclusion(change, withheld, verdict.anew ? loss.served - loss.accepted : loss.served),
    ...(whole ? wholeProjection : changedProjection),
  ];
  await db.run(statements.join("\n"));
  return {
    revision: header.revision,
    domains: { added: judged.addedDomains, removed: removedDomains.size },
    addresses: { added: judged.added, changed: judged.changed, removed: removed + judged.renamed },
    withheld,
    sample,
  };
}

/** Adds those whose sessions must end to the note: after a kill, or while Dovecot does not answer, nothing else tells who they are. */
const noteEnding = `INSERT OR REPLACE INTO state.note SELECT 'ending', json_group_array(user) FROM (
    SELECT local || '@' || domain AS user FROM temp.ended WHERE local < '~'
    UNION SELECT e.value FROM state.note n CROSS JOIN json_each(n.value) e WHERE n.name = 'ending')
  GROUP BY 1;`;

/** True if an app password has ended: a connection that it opened must not send any more. */
const revokes = `EXISTS (SELECT 1 FROM json_each(mailbox.apps) AS former
  WHERE json_extract(excluded.apps, '$."' || former.key || '"') IS NOT former.value)`;

/** Writes the answer's records that differ from the state. */
function setRecords({ kind, revision }: Header): string[] {
  const gone =
    kind === "snapshot"
      ? "name NOT IN (SELECT name FROM temp.incoming_domain)"
      : `key IN (SELECT name FROM temp.incoming_domain WHERE removed = 1
          UNION SELECT unicode FROM temp.incoming_domain WHERE removed = 1)`;
  return [
    // A name may have been an alias of another domain.
    "DELETE FROM state.domain WHERE alias IN (SELECT name FROM temp.incoming_domain WHERE removed = 0);",
    `INSERT INTO state.domain SELECT name, name, 1, NULL, sending FROM temp.incoming_domain WHERE removed = 0
      UNION SELECT unicode, name, 1, NULL, sending FROM temp.incoming_domain WHERE removed = 0
      ON CONFLICT (key) DO UPDATE SET listed = 1, sending = excluded.sending
      WHERE (domain.listed, domain.sending) IS NOT (1, excluded.sending);`,
    `UPDATE state.domain SET listed = 0 WHERE listed = 1 AND alias IS NULL AND ${gone};`,
    `INSERT INTO state.mailbox SELECT domain, local, password, quota_mb, id, NULL, ${revision}, apps, leads, send_as, NULL, sending
      FROM temp.incoming WHERE removed = 0
      ON CONFLICT (domain, local) DO UPDATE SET password = excluded.password, quota_mb = excluded.quota_mb,
        id = excluded.id, withheld = NULL, apps = excluded.apps, leads = excluded.leads, send_as = excluded.send_as,
        sending = excluded.sending, kept = CASE WHEN excluded.leads IN ('[]', 'false')
          THEN CASE WHEN mailbox.leads IN ('[]', 'false') THEN mailbox.kept ELSE mailbox.leads END END,
        login = CASE WHEN mailbox.password IS excluded.password AND NOT ${revokes} THEN ifnull(mailbox.login, excluded.login)
          ELSE excluded.login END
      WHERE (mailbox.password, mailbox.quota_mb, mailbox.id, mailbox.withheld, mailbox.apps, mailbox.leads, mailbox.send_as,
          mailbox.sending)
        IS NOT (excluded.password, excluded.quota_mb, excluded.id, NULL, excluded.apps, excluded.leads, excluded.send_as,
          excluded.sending);`,
  ];
}

/** Gives each domain alias a row for each form of its name. Prints the names of those that went. */
const setDomainAliases: readonly string[] = [
  `DELETE FROM state.domain WHERE alias IS NOT NULL AND NOT EXISTS
    (SELECT 1 FROM state.mailbox m WHERE m.domain = alias AND m.local = '~~') RETURNING alias;`,
  `INSERT INTO state.domain SELECT m.domain, m.leads ->> 0, 1, m.domain, NULL
      FROM temp.incoming i CROSS JOIN state.mailbox m ON ${SAME} WHERE i.local = '~~' AND i.removed = 0
    UNION SELECT m.leads ->> 1, m.leads ->> 0, 1, m.domain, NULL
      FROM temp.incoming i CROSS JOIN state.mailbox m ON ${SAME} WHERE i.local = '~~' AND i.removed = 0
    ON CONFLICT (key) DO UPDATE SET name = excluded.name, alias = excluded.alias, listed = 1;`,
];

/** Removes the former addresses of renamed mailboxes, whatever else is withheld. */
const removeRenamed: readonly string[] = [
  "INSERT OR IGNORE INTO temp.ended SELECT * FROM temp.renamed;",
  "DELETE FROM state.mailbox WHERE (domain, local) IN (SELECT domain, local FROM temp.renamed);",
];

/**
 * Ends the login of mailboxes that were removed by name, even if their address is withheld: those that a delta removes, and
 * those that a whole state of the same history and role lacks while it has their domain.
 */
function markLost({ header: { kind, revision }, byName }: Change): string[] {
  const lost = "(domain, local) IN (SELECT domain, local FROM temp.lost)";
  const mark = `UPDATE state.mailbox SET withheld = ${revision} WHERE ${lost};`;
  if (kind === "snapshot" && !byName) return [mark];
  const named =
    kind === "snapshot"
      ? `${lost} AND domain IN (SELECT name FROM temp.incoming_domain)`
      : "(domain, local) IN (SELECT domain, local FROM temp.incoming WHERE removed = 1)";
  return [
    mark,
    `INSERT OR IGNORE INTO temp.ended SELECT domain, local FROM state.mailbox WHERE ${named};`,
    `UPDATE state.mailbox SET password = NULL, login = NULL WHERE ${named} AND login IS NOT NULL;`,
  ];
}

/** The condition for mailboxes that go now. */
function removalCondition({ anew, withhold }: Verdict, limit: number): string {
  if (!withhold) return "withheld IS NOT NULL";
  return anew ? `withheld <= ${limit}` : "false";
}

function removeLost({ anew, withhold }: Verdict, going: string, { ledger, limit }: Change): string[] {
  if (withhold && !anew) return [];
  return [
    ...(anew ? ["DELETE FROM state.gone;", "DELETE FROM state.peak;"] : []),
    `INSERT OR REPLACE INTO state.gone SELECT domain, local, ${ledger.hours.count} FROM state.mailbox
      WHERE ${going}${anew ? ` AND withheld > ${limit}` : ""};`,
    `INSERT OR IGNORE INTO temp.ended SELECT domain, local FROM state.mailbox WHERE ${going};`,
    `DELETE FROM state.mailbox WHERE ${going};`,
  ];
}

/**
 * Writes the largest number served, the notes, and the state's data about itself.
 *
 * @param served number of counted mailboxes that were in service before
 */
function conclusion({ header, ledger, options }: Change, withheld: number, served: number): string[] {
  const { role, history, revision, digest, cursor, counts } = header;
  const since = new Date(options.now).toISOString();
  const hour = ledger.hours.count;
  const most = Math.max(served, counts.users + counts.aliases + counts.domain_aliases + withheld);
  const withheldSince = withheld === 0 ? null : (ledger.withheldSince ?? since);
  const values = literal([
    role,
    history,
    revision,
    digest,
    cursor,
    counts.domains,
    counts.users,
    since,
    options.mailRoot,
    counts.aliases,
    counts.domain_aliases,
  ]);
  return [
    `INSERT INTO state.peak VALUES (${hour}, ${most})
      ON CONFLICT (hour) DO UPDATE SET users = max(users, excluded.users);`,
    ...noteStatements({
      ledger: { ...ledger, withheldSince },
      accepted: undefined,
      returned: undefined,
      reported: undefined,
    }),
    `UPDATE state.meta SET ready = 1, role = v.value->>0, history = v.value->>1, revision = v.value->>2,
      digest = v.value->>3, cursor = v.value->>4, domains = v.value->>5, users = v.value->>6, since = CASE WHEN (role, history, revision, digest) IS (v.value->>0, v.value->>1, v.value->>2, v.value->>3)
        THEN since ELSE v.value->>7 END, mail_root = v.value->>8,
      aliases = v.value->>9, domain_aliases = v.value->>10 FROM (SELECT ${values} AS value) AS v;`,
  ];
}
