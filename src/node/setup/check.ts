import { existsSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { checkCertificate, readCertificate } from "../../machine/certificate.ts";
import type { Host } from "../../machine/host.ts";
import { runQuietly } from "../../machine/machine.ts";
import { addressesOf } from "../../machine/public-name.ts";
import { checkUnits } from "../../machine/services.ts";
import { type Finding, type Row, tableOf } from "../../machine/table.ts";
import type { CheckName } from "../../mail/node-checks.ts";
import { withState } from "../commands/state.ts";
import { readStatus } from "../commands/status.ts";
import { isSilent, type Status } from "../commands/status-text.ts";
import type { CheckConfig } from "../config.ts";
import { type ExitCode, exitCodes, explain } from "../faults.ts";
import { noteChecks } from "../own-checks.ts";
import { version } from "../version.ts";
import { count } from "../words.ts";
import { CERTIFICATE_FOLDER } from "./configurations.ts";
import { checkBlocklist, checkDns, checkMailOut, checkReach } from "./outside.ts";
import { imapFault, sieveFault, smtpFault, submissionFault } from "./ports.ts";

const MB = 1024 * 1024;
/** Postfix refuses mail at 75 MB. */
const LITTLE_ROOM = 500 * MB;
const LONG_QUEUE = 500;
const CERTIFICATE_ADVICE = {
  missing: "Run: m25-mail-node setup --certbot",
  late: "Renew it: certbot renew; then: systemctl reload postfix dovecot",
  selfSigned: "mail programs warn",
};
const FOLDERS = ["/var/vmail", "/var/spool/postfix", "/var/lib/m25-mail-node"];

/** Prints whether this node works, and what to do where it does not; the node's next report to the server says it too. */
export async function checkNode(host: Host, { out, json }: CheckConfig): Promise<ExitCode> {
  const rows = await rowsOf(host, out);
  const isOk = rows.every(({ state }) => state !== "not_ok");
  host.machine.print(json ? `${JSON.stringify({ ok: isOk, checks: rows })}\n` : tableOf(rows));
  const failed = rows.filter(({ state }) => state === "not_ok").map(({ check }) => check);
  // Only root may write there, and a full disk is among what is checked. Without the folder there is no node yet.
  if (host.machine.root && existsSync(out))
    await noteChecks(out, failed, host.machine.clock.now()).catch((error) =>
      host.machine.log(explain(error)),
    );
  return isOk ? exitCodes.done : exitCodes.amiss;
}

async function rowsOf(host: Host, out: string): Promise<Array<Row & { check: CheckName }>> {
  const { machine } = host;
  const status = await readStatus(machine, out, version);
  const name = await settingOf(host, "myhostname");
  const isMx = status.role === "mx";
  const mailbox = await someMailbox(host, out, status);
  const addresses = await addressesOf(host.resolver, name);
  const ports = isMx ? [25] : [25, 143, 465, 587, 993, 4190];
  const rows: Array<[check: CheckName, finding: Finding | Promise<Finding>]> = [
    ["services", checkServices(host, { isMx, ...(await milters(host)) })],
    ["replica", checkReplica(status, machine.clock.now())],
    [
      "port_25",
      checkPort(
        smtpFault({ port: 25, tls: false }, name, mailbox),
        "postfix",
        mailbox === undefined ? "answers; there is no mailbox to try" : "takes mail for a mailbox",
      ),
    ],
    ...(isMx ? [] : ownersPorts(name)),
    [
      "certificate",
      readCertificate(host, CERTIFICATE_FOLDER).then((found) =>
        checkCertificate(found, name, machine.clock.now(), CERTIFICATE_ADVICE),
      ),
    ],
    ["disk", checkDisk(host)],
    ["queue", checkQueue(host)],
    ["clock", checkClock(host)],
    ["dns", checkDns(host.resolver, name, addresses)],
    ["from_outside", checkReach(name, addresses, ports)],
    ["mail_out", checkMailOut(host.resolver)],
    ["blocklist", checkBlocklist(host.resolver, addresses)],
  ];
  return await Promise.all(rows.map(async ([check, finding]) => ({ check, ...(await finding) })));
}

function ownersPorts(name: string): Array<[CheckName, Promise<Finding>]> {
  return [
    ...([465, 587] as const).map((port): [CheckName, Promise<Finding>] => [
      `port_${port}`,
      checkPort(submissionFault({ port, tls: port === 465 }, name), "postfix", "offers a login inside TLS"),
    ]),
    ...([993, 143] as const).map((port): [CheckName, Promise<Finding>] => [
      `port_${port}`,
      checkPort(
        imapFault({ port, tls: port === 993 }),
        "dovecot",
        port === 993 ? "answers inside TLS" : "answers",
      ),
    ]),
    ["port_4190", checkPort(sieveFault(4190), "dovecot", "answers")],
  ];
}

async function checkPort(trial: Promise<string | undefined>, unit: string, good: string): Promise<Finding> {
  const fault = await trial;
  if (fault === undefined) return { state: "ok", found: good };
  return { state: "not_ok", found: fault, todo: `See: journalctl -u ${unit} -n 30` };
}

/** Any mailbox's address, to ask Postfix about. */
async function someMailbox({ machine }: Host, out: string, { ready }: Status): Promise<string | undefined> {
  if (!ready) return undefined;
  return await withState(machine, out, "read", async ({ replica }) => {
    const found: string[] = [];
    await replica.db.run(
      "SELECT local || '@' || domain FROM state.mailbox WHERE local < '~' AND withheld IS NULL LIMIT 1;",
      (lines) => void found.push(...lines),
    );
    return found[0];
  });
}

/** A setting of Postfix; "" if it is empty, or unknown to Postfix. */
async function settingOf({ machine }: Host, name: string): Promise<string> {
  return (await runQuietly(machine, ["postconf", "-h", name])).stdout.trim();
}

async function milters(host: Host): Promise<{ signs: boolean; filters: boolean }> {
  const [mua, smtpd] = await Promise.all(
    ["mua_milters", "smtpd_milters"].map((name) => settingOf(host, name)),
  );
  return { signs: mua !== "", filters: smtpd?.includes("unix:rspamd/") === true };
}

export async function checkServices(
  host: Pick<Host, "units">,
  { isMx, signs, filters }: { isMx: boolean; signs: boolean; filters: boolean },
): Promise<Finding> {
  const wanted = [
    "m25-mail-node",
    "postfix",
    ...(isMx ? [] : ["dovecot"]),
    ...(signs ? ["opendkim"] : []),
    ...(filters ? ["rspamd"] : []),
  ];
  // The timer is the other way to run the program.
  const finding = await checkUnits(host, wanted, { "m25-mail-node": "m25-mail-node-once.timer" });
  return filters || finding.state !== "ok"
    ? finding
    : { ...finding, found: `${finding.found}; no filter (m25-mail-node setup --with-filter)` };
}

function checkReplica(status: Status, now: number): Finding {
  const { serving, ready, last_poll: poll, exit_code } = status;
  const todo = "See: m25-mail-node status, and journalctl -u m25-mail-node -n 30";
  if (serving === null || !ready)
    return { state: "not_ok", found: "nothing has come from the server yet", todo };
  const served = `${count(serving.users, "mailbox")} in ${count(serving.domains, "domain")}`;
  if (poll === null || isSilent(poll, now))
    return { state: "not_ok", found: `${served}; no poll for long`, todo };
  if (exit_code !== exitCodes.done)
    return { state: "not_ok", found: `${served}; ${poll.reason ?? "the last poll failed"}`, todo };
  return { state: "ok", found: `${served}, as the server has them` };
}

async function checkDisk(host: Host): Promise<Finding> {
  const rooms = await Promise.all(
    FOLDERS.map(async (folder) => {
      const found = await statfs(host.at(folder)).catch(() => undefined);
      return found && { folder, free: found.bavail * found.bsize };
    }),
  );
  const [least] = rooms.filter((room) => room !== undefined).sort((one, other) => one.free - other.free);
  return least === undefined ? { state: "unknown", found: "its folders cannot be read" } : checkRoom(least);
}

/** @param free bytes */
export function checkRoom({ folder, free }: { folder: string; free: number }): Finding {
  const found = `${Math.floor(free / MB)} MB free for ${folder}`;
  if (free >= LITTLE_ROOM) return { state: "ok", found };
  return { state: "not_ok", found, todo: "Make room: a full disk takes no mail." };
}

export async function checkQueue({ machine }: Host): Promise<Finding> {
  const { code, stdout } = await runQuietly(machine, ["postqueue", "-j"]);
  if (code !== 0) return { state: "unknown", found: "postqueue does not answer" };
  const mails = stdout.split("\n").filter((line) => line !== "").length;
  const found = `${count(mails, "mail")} waiting`;
  if (mails < LONG_QUEUE) return { state: "ok", found };
  return { state: "not_ok", found, todo: "See why: postqueue -p" };
}

export async function checkClock({ machine }: Host): Promise<Finding> {
  const words = ["timedatectl", "show", "--property", "NTPSynchronized", "--value"];
  const said = (await runQuietly(machine, words)).stdout.trim();
  const isContainer =
    (await runQuietly(machine, ["systemd-detect-virt", "--container", "--quiet"])).code === 0;
  if (isContainer) return { state: "unknown", found: "a container has its host's clock" };
  if (said === "yes") return { state: "ok", found: "set by NTP" };
  if (said !== "no") return { state: "unknown", found: "timedatectl does not say" };
  return { state: "not_ok", found: "not set by NTP", todo: "Run: apt-get install systemd-timesyncd" };
}
