/** Runs the pages' commands for the server and its proxies, as written, on a fresh Debian under its own systemd. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { debianFolder, type FreshDebian, startFreshDebian } from "../mail/fresh-debian.ts";
import { copyCheckout, SERVER_PACKAGES } from "../mail/fresh-server.ts";
import { until } from "../mail/processes.ts";
import { certificate } from "../support/certificate.ts";
import { command, textOf } from "./pages.ts";
import { server } from "./runs.ts";

/** The name in the pages and in the files of deploy/. */
const NAME = "mail-admin.example.nl";

/** A command that each setting of the unit forbids, and that the service's user can run outside the service. */
const forbidden = {
  ProtectHome: "cat /home/jan/letter",
  ProtectSystem: "touch /srv/open/file",
  PrivateTmp: "cat /tmp/letter",
  PrivateDevices: "cat /dev/letter",
  ProtectProc: "cat /proc/1/comm",
  CapabilityBoundingSet: "grep '^CapBnd:.*[1-9a-f]' /proc/self/status",
  NoNewPrivileges: "grep '^NoNewPrivs:.*0' /proc/self/status",
  RestrictSUIDSGID: "touch /var/lib/m25-mail/s && chmod u+s /var/lib/m25-mail/s",
  LockPersonality: "setarch --addr-no-randomize true",
  SystemCallFilter: "touch /var/lib/m25-mail/c && chgrp m25-mail /var/lib/m25-mail/c",
};

describe.each([
  { name: "Debian 12", suite: "bookworm" },
  { name: "Debian 13", suite: "trixie" },
])("the server set up by the pages on $name", async ({ suite }) => {
  const folder = await debianFolder(suite, SERVER_PACKAGES);
  if (!folder.available) process.stderr.write(folder.message);
  let machine: FreshDebian;

  beforeAll(async () => {
    if (!folder.available) return;
    machine = await startFreshDebian(folder.path);
    // In place of the page's `npm ci && npm run build`.
    await copyCheckout(machine);
    const install = command(server.install).replace("npm ci && npm run build && ", "");
    await machine.sh(install, { folder: "/opt/m25-mail" });
    await machine.sh(command(server.service), { folder: "/opt/m25-mail/deploy" });
    await machine.sh(`systemctl is-active m25-mail; echo '127.0.0.1 ${NAME}' >>/etc/hosts`);
    await until("the server listens", () => answers("http://127.0.0.1:8625"));
    await machine.sh("sed 's/^/Authorization: Bearer /' /var/lib/m25-mail/first-token >/root/token");
  });
  afterAll(() => machine?.stop());

  const answers = (url: string) =>
    machine.sh(`curl -sS --cacert /root/ca.pem ${url}/healthz || true`).then((text) => text.includes("ok"));
  const show = async (property: string) =>
    (await machine.sh(`systemctl show --value --property ${property} m25-mail`)).trim();
  /** Calls a tool by MCP with the first token, and returns the answer. */
  const callTool = (url: string, name: string) =>
    machine.sh(`curl -sS --fail-with-body --cacert /root/ca.pem -H @/root/token -H 'Content-Type: application/json' \
      -H 'Accept: application/json, text/event-stream' ${url}/mcp \
      -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"${name}","arguments":{}}}'`);

  test.skipIf(!folder.available)("runs, is started again when it dies, and stops when told", async () => {
    const local = "http://127.0.0.1:8625";
    expect(await callTool(local, "m25_mail_list_domains")).toContain('"domains":[]');
    for (const end of ["systemctl restart m25-mail", "systemctl kill --signal KILL m25-mail"]) {
      const before = await show("MainPID");
      await machine.sh(end);
      await until(`it runs after ${end}`, async () => ![before, "0"].includes(await show("MainPID")));
      await until(`it answers after ${end}`, () => answers(local));
      expect(await callTool(local, "m25_mail_list_domains")).toContain('"domains":[]');
    }
    await machine.sh("systemctl stop m25-mail");
    expect(await machine.sh("systemctl show -p ActiveState,Result,ExecMainStatus m25-mail")).toBe(
      "Result=success\nExecMainStatus=0\nActiveState=inactive\n",
    );
  });

  test.skipIf(!folder.available)("may do nothing that its unit forbids", async () => {
    await machine.sh(`install -d -m 777 /home/jan /srv/open
      for place in /home/jan /tmp /dev; do echo secret >$place/letter; done
      mkdir /etc/systemd/system/m25-mail.service.d
      cat >/opt/attempts <<'END'
${Object.entries(forbidden)
  .map(([setting, attempt]) => `(${attempt}) >/dev/null 2>&1 && echo ${setting}`)
  .join("\n")}
true
END
      cat >/etc/systemd/system/m25-mail.service.d/attempts.conf <<'END'
[Service]
ExecStartPre=/bin/sh -c 'sh /opt/attempts >/var/lib/m25-mail/done'
END
      systemctl daemon-reload`);
    const outside = "setpriv --reuid m25-mail --regid m25-mail --clear-groups sh /opt/attempts";
    expect((await machine.sh(outside)).split("\n").slice(0, -1)).toEqual(Object.keys(forbidden));
    await machine.sh("systemctl restart m25-mail");
    expect(await machine.sh("cat /var/lib/m25-mail/done")).toBe("");
  });

  test.skipIf(!folder.available)("has a limit of memory", async () => {
    expect(await show("MemoryMax")).toBe(String(2 * 1024 ** 3));
    const group = `/sys/fs/cgroup${await show("ControlGroup")}`;
    const limit = await machine.sh(`cat ${group}/memory.max || true`);
    if (limit === "")
      process.stderr.write(`MemoryMax is not in force here: ${group} has no memory controller.\n`);
    else expect(limit.trim()).toBe(await show("MemoryMax"));
  });

  describe.each([
    // The file asks for a certificate, and Caddy cannot get one for this name.
    {
      proxy: "caddy",
      other: "nginx",
      commands: server.caddy,
      setUp: "sed -i '/^mail-admin/a tls internal' Caddyfile",
    },
    { proxy: "nginx", other: "caddy", commands: server.nginx, setUp: "true" },
  ])("behind $proxy", ({ proxy, other, commands, setUp }) => {
    const url = `https://${NAME}`;

    test.skipIf(!folder.available)("answers assistants and waiting nodes", async () => {
      // As if only this proxy had been installed.
      await machine.sh(`systemctl stop ${other}; systemctl restart ${proxy}`);
      if (proxy === "nginx") await useOwnCertificate(machine);
      await machine.sh(`${setUp}\n${command(commands)}`, { folder: "/opt/m25-mail/deploy" });
      const settings = /^```ini\n(.*?)^```$/ms.exec(textOf("docs/internet.md"))?.[1] ?? "";
      await machine.sh("cat >>/etc/m25-mail/server.env; systemctl restart m25-mail", { input: settings });
      if (proxy === "caddy")
        await machine.sh("cp /var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt /root/ca.pem");
      await until("the proxy's way is open", () => answers(url));

      expect(await callTool(url, "m25_mail_list_nodes")).toContain('"nodes":[');
      await machine.sh(`m25-mail call add-node --name ${proxy} --json |
        sed -n 's/.*"sync_key": *"\\([^"]*\\)".*/Authorization: Bearer \\1/p' >/root/key`);
      const poll = (cursor: string) =>
        machine.sh(
          `curl -sS --fail-with-body --cacert /root/ca.pem -H @/root/key -H 'Prefer: wait=55' '${url}/sync/v1/maps${cursor}'`,
        );
      const [, cursor] = /"cursor":"([^"]+)"/.exec(await poll("")) ?? [];
      const waiting = poll(`?since=${cursor}`);
      await until("the poll waits", async () =>
        /^m25_mail_polls_waiting 1$/m.test(
          await machine.sh("curl -sS -H @/root/token http://127.0.0.1:8625/metrics"),
        ),
      );
      await machine.sh(`m25-mail call add-domain --domain ${proxy}.example.nl`);
      expect(await waiting).toContain(`{"domain":"${proxy}.example.nl"}`);
    });
  });
});

async function useOwnCertificate(machine: FreshDebian): Promise<void> {
  const { cert, key } = certificate(NAME);
  await machine.sh("mkdir -p /etc/ssl/m25-mail");
  await machine.copyIn(cert, "etc/ssl/m25-mail/fullchain.pem");
  await machine.copyIn(key, "etc/ssl/m25-mail/privkey.pem");
  await machine.copyIn(cert, "root/ca.pem");
}
