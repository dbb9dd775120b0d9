/** Runs `m25-mail setup` on a fresh Debian, which has a name in DNS and an authority for certificates. */
import { expect, test } from "vitest";
import { type Answer, debianFolder, type FreshDebian } from "./fresh-debian.ts";
import { ADDRESS } from "./fresh-network.ts";
import {
  newServerMachine,
  SERVER,
  SERVER_PACKAGES,
  serverQuestions,
  serverSetup as setup,
} from "./fresh-server.ts";
import { until } from "./processes.ts";

const PASSWORD = "a passphrase of the operator";
const CTRL_C = "\x03";
const { name: NAME, domain: DOMAIN } = serverQuestions;
const CERTIFICATE = "[y/N] ";
const TYPED: readonly Answer[] = serverQuestions.passwords.map((question) => [question, `${PASSWORD}\r`]);
const RECORD = `${SERVER}. A ${ADDRESS}`;
const OK = { services: "ok", server: "ok", DNS: "ok", https: "ok", certificate: "ok" };

const [bookworm, trixie] = await Promise.all(
  ["bookworm", "trixie"].map((suite) => debianFolder(suite, SERVER_PACKAGES)),
);

test.skipIf(!bookworm?.available)(
  "on Debian 12, beside somebody's nginx, setup asks, goes on after faults and Ctrl-C, and makes a server that answers by HTTPS",
  async () => {
    const { machine, dns, acme } = await newServerMachine(bookworm, ADDRESS);
    const refused = (flags = "") => machine.sh(`${setup} ${flags} </dev/null 2>&1 || echo "exit $?"`);

    expect(await refused(`${acme} --proxy nginx`)).toContain(
      "caddy holds port 80 of this machine, which nginx needs",
    );
    await machine.sh("systemctl disable --now caddy; systemctl enable --now nginx");
    await machine.sh("systemd-run --unit=trial /opt/m25-mail/deploy/m25-mail serve --db /root/trial.db");
    await until("the trial serves", async () => (await machine.sh("ss -Hltn sport = :8625")) !== "");
    expect(await refused(acme)).toMatch(/\S+ holds port 8625 of this machine, which m25-mail needs: stop it/);
    await machine.sh("systemctl stop trial");
    expect(await refused(acme)).toContain("there is no certificate in /etc/ssl/m25-mail-server");

    const stopped = async (...answers: Answer[]) =>
      expect((await machine.atTerminal(`${setup} ${acme}`, answers)).said).toContain("Given up.");
    await stopped([NAME, CTRL_C]);
    await stopped([NAME, "\r"], [CERTIFICATE, CTRL_C]);
    await stopped([NAME, "\r"], [CERTIFICATE, "y\r"], ["Password: ", CTRL_C]);
    await stopped([NAME, "\r"], [CERTIFICATE, "y\r"], ...TYPED, [DOMAIN, CTRL_C]);
    const answers: Answer[] = [[CERTIFICATE, "y\r"], ...TYPED];
    const withoutDns = await machine.atTerminal(`${setup} ${acme}`, [
      [NAME, "\r"],
      ...answers,
      [DOMAIN, "example.nl\r"],
    ]);
    expect(withoutDns).toMatchObject({
      code: 1,
      said: expect.stringContaining("Does the name lead to this machine"),
    });

    await dns.serve(RECORD);
    await machine.sh(`mount -t tmpfs -o size=4k tmpfs /etc/systemd; mkdir /etc/systemd/system
      head -c 4096 /dev/zero >/etc/systemd/zero || true`);
    const onFullDisk = await machine.atTerminal(`${setup} ${acme}`, answers);
    expect(onFullDisk).toMatchObject({ code: 1, said: expect.stringContaining("the disk is full") });
    await machine.sh("umount /etc/systemd");

    await addShop(machine);
    const clash = await machine.atTerminal(`${setup} ${acme}`, TYPED);
    expect(clash).toMatchObject({ code: 1, said: expect.stringContaining("nginx -t failed") });
    await machine.sh("nginx -t 2>&1; sed -i /upstream/d /etc/nginx/sites-enabled/shop");
    const first = await machine.atTerminal(`${setup} ${acme}`, TYPED);
    expect(rowsOf(first.said), first.said).toEqual(OK);
    expect(first.code).toBe(0);
    expect(await machine.sh("curl -sSk --resolve shop.example:443:127.0.0.1 https://shop.example/")).toBe(
      "a shop",
    );

    const [, token = ""] = /--header "Authorization: Bearer (\S+)"/.exec(first.said) ?? [];
    expect(await listDomains(machine, token)).toContain('"domain":"example.nl"');
    expect(await machine.sh("ls /var/lib/m25-mail")).not.toContain("first-token");
    await staysTheSame(machine);
    const serial = await serialOf(machine);
    await machine.sh("certbot renew --force-renewal --no-random-sleep-on-renew");
    await until("nginx has the new certificate", async () => ![serial, ""].includes(await serialOf(machine)));
  },
);

test.skipIf(!trixie?.available)(
  "on Debian 13, with flags alone, setup makes a server behind Caddy, brings it up to date, and lets it speak TLS itself",
  async () => {
    const { machine, dns, acme } = await newServerMachine(trixie, ADDRESS);
    await machine.sh(`systemctl disable --now nginx; systemctl enable --now caddy
      printf '%s\n' '${PASSWORD}' >/root/password
      cp /etc/caddy/Caddyfile /root/; echo 'shop.example {' >>/etc/caddy/Caddyfile`);
    const flags = `${acme} --domain example.nl --password-file /root/password`;
    const refused = await machine.sh(`${setup} ${flags} || echo "exit $?"`);
    expect(refused).toContain("-shop.example {");
    expect(refused).toContain("exit 1");
    await machine.sh("cp /root/Caddyfile /etc/caddy/");

    const withoutDns = await machine.sh(`${setup} ${flags} || echo "exit $?"`);
    expect(rowsOf(withoutDns), withoutDns).toEqual({
      ...OK,
      DNS: "not ok",
      https: "unknown",
      certificate: "not ok",
    });
    expect(withoutDns).toContain("exit 1");
    await dns.serve(RECORD);
    // Caddy waits longer after each refusal of the authority.
    await machine.sh("systemctl restart caddy");
    const first = await machine.sh(setup);
    expect(rowsOf(first), first).toEqual(OK);
    const token = (await machine.sh("cat /var/lib/m25-mail/first-token")).trim();
    expect(first).not.toContain(token);
    expect(await listDomains(machine, token)).toContain('"domain":"example.nl"');
    await staysTheSame(machine);

    // As an upgrade brings them.
    await machine.sh("sed -i 's/keepalive 60s/keepalive 50s/' /opt/m25-mail/deploy/Caddyfile");
    await machine.sh(setup);
    expect(await machine.sh("cat /etc/caddy/Caddyfile")).toContain("keepalive 50s");
    await machine.sh("sed -i s/MemoryMax=2G/MemoryMax=4G/ /etc/systemd/system/m25-mail.service");
    expect(await machine.sh(`${setup} || echo "exit $?"`)).toContain("-MemoryMax=2G\n+MemoryMax=4G");
    await machine.sh(`${setup} --replace`);
    expect(await machine.sh("systemctl show --value -p MemoryMax m25-mail")).toBe(`${2 * 1024 ** 3}\n`);

    await machine.sh("systemctl disable --now caddy");
    const own = await machine.sh(`${setup} --proxy none --certbot ${acme}`);
    expect(rowsOf(own), own).toEqual(OK);
    expect(await listDomains(machine, token)).toContain('"domain":"example.nl"');
    await staysTheSame(machine);
    const serial = await serialOf(machine);
    await machine.sh("certbot renew --force-renewal --no-random-sleep-on-renew");
    await until(
      "the server has the new certificate",
      async () => ![serial, ""].includes(await serialOf(machine)),
    );

    const back = await machine.sh(`${setup} --proxy caddy`);
    expect(rowsOf(back), back).toEqual(OK);
    expect(await machine.sh("ss -Hltnp sport = :443")).toContain('"caddy"');
  },
);

/** Somebody's site, with an upstream of the same name as ours. */
async function addShop(machine: FreshDebian): Promise<void> {
  await machine.sh(`openssl req -x509 -nodes -subj /CN=shop.example -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
      -keyout /etc/ssl/shop.key -out /etc/ssl/shop.pem
    cat >/etc/nginx/sites-enabled/shop <<'END'
upstream m25_mail { server 127.0.0.1:9; }
server {
    listen 443 ssl;
    server_name shop.example;
    ssl_certificate /etc/ssl/shop.pem;
    ssl_certificate_key /etc/ssl/shop.key;
    location / { return 200 "a shop"; }
}
END
    systemctl reload nginx`);
}

/** Calls a tool by MCP, from outside. */
async function listDomains(machine: FreshDebian, token: string): Promise<string> {
  return await machine.sh(
    `curl -sS --fail-with-body --cacert /etc/authority.pem --resolve ${SERVER}:443:${ADDRESS} -H @- \
      -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' https://${SERVER}/mcp \
      -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"m25_mail_list_domains","arguments":{}}}'`,
    { input: `Authorization: Bearer ${token}\n` },
  );
}

async function serialOf(machine: FreshDebian): Promise<string> {
  return await machine.sh(
    "openssl s_client -connect 127.0.0.1:443 </dev/null 2>/dev/null | openssl x509 -noout -serial || true",
  );
}

/** Another setup changes no file, and restarts nothing. */
async function staysTheSame(machine: FreshDebian): Promise<void> {
  const state = () =>
    machine.sh(`find /etc /var/lib/m25-mail-server-setup /usr/lib/sysusers.d -type f -exec sha256sum {} + | sort
      systemctl show --property ActiveEnterTimestamp m25-mail caddy nginx`);
  const before = await state();
  expect(rowsOf(await machine.sh(setup))).toEqual(OK);
  expect(await state()).toBe(before);
}

/** The state of each check by its name. */
function rowsOf(said: string): Record<string, string> {
  const rows = [...said.matchAll(/^(ok|not ok|unknown) +(\S+) {2,}/gm)];
  return Object.fromEntries(rows.map(([, state = "", check = ""]) => [check, state]));
}
