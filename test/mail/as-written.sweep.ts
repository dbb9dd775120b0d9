/** Runs the pages' commands for a mailbox node and an MX, as written, on a fresh Debian with Debian's own Node. */
import { describe, expect, test } from "vitest";
import { command } from "../docs/pages.ts";
import { mailboxNode, mxNode } from "../docs/runs.ts";
import {
  addUsers,
  atServer,
  MX,
  NODE,
  newMailboxNode,
  newNode,
  releaseFolder,
  releases,
  toJoin,
} from "./as-written.ts";
import { denials } from "./fresh-debian.ts";
import { fields, isCurrent } from "./fresh-server.ts";
import { mailClient, TAKEN } from "./mail-client.ts";
import { ANNA, FULL, JAN, STRANGER } from "./people.ts";
import { until } from "./processes.ts";

/** curl's result for an unknown recipient. */
const UNKNOWN = { code: 55, stderr: expect.stringContaining("550") };

const LATER = { address: "later@example.nl", password: "after the new one" };
const NEW = { address: "new@example.nl", password: "after the others" };

/** Prints the user of each auth worker; Debian 12 comes without ps. */
const authWorkers = `for process in /proc/[0-9]*; do
    if tr '\\0' ' ' <$process/cmdline | grep -q '^dovecot/auth -w'; then
      id -nu $(awk '/^Uid:/ { print $2 }' $process/status)
    fi
  done`;

describe.each(releases)("a node set up by the pages on $name", async (release) => {
  const folder = await releaseFolder(release.suite);

  test.skipIf(!folder.available)("receives mail, shows it to its user, and sends", async () => {
    if (!folder.available) return;
    const { server, machine, cert, mail } = await newMailboxNode(folder.path, release, [JAN, ANNA]);
    const size = async () => fields(await server.sh(`m25-mail user show ${JAN.address}`)).used_mb ?? "";
    await until("the size of a mailbox is shown", async () => /^\d+$/.test(await size()), 300);
    const fromOutside = { from: STRANGER, to: JAN.address, subject: "from outside" };
    expect(await mail.send("smtp", 25, fromOutside)).toMatchObject(TAKEN);
    await mail.arrives(JAN, "from outside");
    // A worker of root's would make an empty -wal anew, and so hide that it was deleted.
    expect(await machine.sh(authWorkers)).toMatch(/^(?:dovecot\n)+$/);
    for (const [scheme, port] of [
      ["smtp", 587],
      ["smtps", 465],
    ] as const) {
      const subject = `sent through ${port}`;
      const message = { from: JAN.address, to: ANNA.address, subject, login: JAN };
      expect(await mail.send(scheme, port, message)).toMatchObject(TAKEN);
      await mail.arrives(ANNA, subject);
    }
    await machine.sh(`echo "root: ${JAN.address}" >/etc/aliases; newaliases
      printf 'Subject: from cron\\n\\ntext\\n' | sendmail root`);
    await mail.arrives(JAN, "from cron");

    // The daemons' processes have the former files open.
    for (const [replace, user] of [
      [
        "cd m25-mail-node; for file in addresses.db* logins.db*; do cp -a $file copy; mv copy $file; done",
        FULL,
      ],
      ["cp -a m25-mail-node copy; mv m25-mail-node former; mv copy m25-mail-node", NEW],
    ] as const) {
      await machine.sh(`cd /var/lib; ${replace}`);
      await addUsers(server, user);
      await isCurrent(server);
      const subject = `to ${user.address}`;
      expect(await mail.send("smtp", 25, { from: STRANGER, to: user.address, subject })).toMatchObject(TAKEN);
      await mail.arrives(user, subject);
    }

    const nodes = () => server.sh("m25-mail call list-nodes --json");
    const isRefused = async () => (await nodes()).includes('"reason":"folder_not_writable"');
    await machine.sh(`set -- $(printf '/var/vmail/%02x ' $(seq 0 255)); mkdir -p "$@"
      chown root "$@"; chmod 700 "$@"`);
    await addUsers(server, LATER);
    await until("the node tells that the mail user cannot write", isRefused, 300);
    await machine.sh("chown -R vmail:vmail /var/vmail");
    // The node looks again with its next poll, at most a minute later.
    await isCurrent(server);

    const freshKey = await server.sh(command(mailboxNode.freshKey));
    await machine.sh(command(mailboxNode.toJoinAgain), { input: freshKey });
    await machine.sh(command(mailboxNode.accept));

    // The page's other choice. The timer stops the service; the start waits for the end of one run.
    await machine.sh("systemctl disable m25-mail-node; systemctl enable --now m25-mail-node-once.timer");
    await machine.sh("systemctl start m25-mail-node-once; ! systemctl is-active m25-mail-node");

    const note = await machine.sh("ls -ln /var/lib/m25-mail-logins");
    expect(note).toMatch(/^-rw-r----- 1 5000 0 .* [0-9a-f]{16}$/m);

    expect(await machine.sh(denials)).toBe("");

    // The former network had the server.
    await machine.sh("systemctl disable m25-mail-node-once.timer; systemctl enable m25-mail-node");
    await machine.cutPower();
    const alone = mailClient(machine, NODE, cert);
    const afterwards = { from: STRANGER, subject: "after the power cut" };
    expect(await alone.send("smtp", 25, { ...afterwards, to: LATER.address })).toMatchObject(TAKEN);
    await alone.arrives(LATER, afterwards.subject);
    expect(await alone.send("smtp", 25, { ...afterwards, to: "nobody@example.nl" })).toMatchObject(UNKNOWN);
    expect(await machine.sh(denials)).toBe("");
  });

  test.skipIf(!folder.available)("takes mail as an MX, and refuses unknown recipients", async () => {
    if (!folder.available) return;
    const { server, machine, cert } = await newNode(folder.path, MX);
    await addUsers(server, JAN);
    await server.sh(`m25-mail call set-alias --address info@example.nl --targets ${JAN.address}`);
    const { sync_key: key } = fields(await server.sh(atServer.replace("pi-amsterdam", "mx2")));
    await server.sh(command(mxNode.setRole));
    await machine.sh(toJoin, { input: `${key}\n` });
    await machine.sh(command(mxNode.setUp), { folder: "/root/deploy" });
    await isCurrent(server);

    const mail = mailClient(machine, MX, cert);
    const message = { from: STRANGER, subject: "by way of the MX" };
    for (const to of [JAN.address, "info@example.nl"])
      expect(await mail.send("smtp", 25, { ...message, to })).toMatchObject(TAKEN);
    expect(await mail.send("smtp", 25, { ...message, to: "nobody@example.nl" })).toMatchObject(UNKNOWN);
    expect(await machine.sh(denials)).toBe("");
  });
});
