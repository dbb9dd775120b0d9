import { existsSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../support/store.ts";
import { CADDYFILE, filesOf, NAME, newMachine } from "./planted.ts";

const UNIT = "/etc/systemd/system/m25-mail.service";
const OWN_TLS = "/etc/systemd/system/m25-mail.service.d/tls.conf";
const SITE = "/etc/nginx/sites-available/m25-mail";
const ENABLED = "/etc/nginx/sites-enabled/m25-mail";

function passwordFile(): string {
  const file = join(temporaryFolder(), "password");
  writeFileSync(file, "a passphrase of the operator\n");
  return file;
}

test("a machine with Caddy becomes the server, and a second setup changes nothing", async () => {
  const { host, server, done, setUp, read } = await newMachine("caddy");
  await setUp(["--domain", "example.nl", "--password-file", passwordFile()]);
  expect(read(CADDYFILE)).toMatch(/^mail-admin\.example\.nl \{$/m);
  const settings = read("/etc/m25-mail/server.env");
  expect(settings).toContain(
    `\nM25_MAIL_PUBLIC_URL=https://${NAME}\nM25_MAIL_TRUSTED_PROXIES=127.0.0.1,::1\n`,
  );
  expect(readlinkSync(host.at("/usr/local/bin/m25-mail"))).toMatch(/\/deploy\/m25-mail$/);
  expect(done).toEqual(["start m25-mail", "start caddy", "reload caddy"]);
  const { body } = await server.api("list-domains");
  expect(body.domains).toMatchObject([{ domain: "example.nl" }]);
  expect(await server.store.read((tables) => tables.operator.passwordHash())).toMatch(/^\{BLF-CRYPT\}/);
  const before = filesOf(host);
  done.length = 0;
  await setUp();
  expect(filesOf(host)).toEqual(before);
  expect(done).toEqual(["start m25-mail", "start caddy"]);
});

test("what the flags say of Caddy's certificate stays for the next setup", async () => {
  const { setUp, read } = await newMachine("caddy");
  await setUp(["--acme-server", "https://acme.example/dir"]);
  expect(read(CADDYFILE)).toMatch(/^\{\n\tacme_ca https:\/\/acme\.example\/dir\n/m);
  await setUp();
  expect(read(CADDYFILE)).toContain("acme_ca https://acme.example/dir");
  await setUp(["--self-signed"]);
  expect(read(CADDYFILE)).toMatch(/^mail-admin\.example\.nl \{\n\ttls internal$/m);
});

test("nginx gets a site of its own, which is disabled again if nginx refuses it", async () => {
  const { host, broken, done, setUp, read } = await newMachine("nginx");
  broken.add("nginx");
  await expect(setUp(["--self-signed"])).rejects.toThrow("nginx -t failed");
  expect(existsSync(host.at(ENABLED))).toBe(false);
  broken.clear();
  done.length = 0;
  await setUp();
  expect(read(ENABLED)).toContain(`server_name ${NAME};`);
  expect(read(SITE)).toContain("ssl_certificate /etc/ssl/m25-mail-server/fullchain.pem;");
  expect(done).toEqual(["restart m25-mail", "start nginx", "reload nginx"]);
});

test("without a proxy the server speaks TLS itself, until there is one", async () => {
  const machine = await newMachine();
  // The test's server has no certificate, and answers on its own port.
  await expect(machine.setUp(["--self-signed"])).rejects.toThrow("the server does not start");
  expect(machine.read(OWN_TLS)).toContain("/etc/ssl/m25-mail-server/privkey.pem /run/m25-mail");
  expect(machine.read("/etc/m25-mail/server.env")).not.toContain("TRUSTED_PROXIES");
  await machine.setUp(["--proxy", "other"]);
  expect(existsSync(machine.host.at(OWN_TLS))).toBe(false);
});

test("somebody else's Caddyfile is shown, and nothing is changed", async () => {
  const { host, printed, done, setUp, read, write } = await newMachine("caddy");
  write(CADDYFILE, "shop.example {\n\trespond shop\n}\n");
  const before = filesOf(host);
  await expect(setUp()).rejects.toThrow(/Caddyfile: setup would overwrite .*--proxy other.*--replace/);
  expect(printed.join("")).toContain("-shop.example {\n");
  expect(filesOf(host)).toEqual(before);
  expect(done).toEqual([]);
  await setUp(["--replace"]);
  expect(read(CADDYFILE)).not.toContain("shop.example");
  expect(filesOf(host)["etc/caddy/Caddyfile.before-TIME"]).toContain("shop.example");
});

test("a unit that the operator changed by hand is shown, and settings in server.env stay", async () => {
  const { printed, done, setUp, read, write } = await newMachine("caddy");
  await setUp();
  write("/etc/m25-mail/server.env", `${read("/etc/m25-mail/server.env")}M25_MAIL_TOOLS=people\n`);
  done.length = 0;
  await setUp();
  expect(read("/etc/m25-mail/server.env")).toContain("M25_MAIL_TOOLS=people");
  expect(done).toContain("restart m25-mail");
  write(UNIT, read(UNIT).replace("MemoryMax=2G", "MemoryMax=4G"));
  await expect(setUp()).rejects.toThrow(/m25-mail\.service: setup would overwrite/);
  expect(printed.join("")).toContain("-MemoryMax=2G\n+MemoryMax=4G\n");
});

test("an upgrade brings its files, and only what reads them is restarted or reloaded", async () => {
  const { checkout, done, setUp, read } = await newMachine("caddy");
  await setUp();
  const change = (file: string, from: string, to: string) => {
    done.length = 0;
    const path = join(checkout, file);
    writeFileSync(path, readFileSync(path, "utf8").replace(from, to));
  };
  change("dist/m25-mail.js", "one build", "another build");
  await setUp();
  expect(done).toEqual(["restart m25-mail", "start caddy"]);
  change("deploy/Caddyfile", "keepalive 60s", "keepalive 50s");
  await setUp();
  expect(read(CADDYFILE)).toContain("keepalive 50s");
  expect(done).toEqual(["start m25-mail", "start caddy", "reload caddy"]);
});

test("a port that another program holds is named, and nothing is changed", async () => {
  const { host, ports, done, setUp } = await newMachine("caddy");
  const before = filesOf(host);
  ports.set("443", "apache2");
  await expect(setUp()).rejects.toThrow("apache2 holds port 443 of this machine, which caddy needs");
  ports.clear();
  const [, port = ""] =
    /M25_MAIL_PORT=(\d+)/.exec(readFileSync(host.at("/etc/m25-mail/server.env"), "utf8")) ?? [];
  ports.set(port, "node");
  await expect(setUp()).rejects.toThrow(`node holds port ${port} of this machine, which m25-mail needs`);
  expect(filesOf(host)).toEqual(before);
  expect(done).toEqual([]);
});

test("of two proxies the one that runs is set up; if both do, a flag decides", async () => {
  const { active, setUp, host } = await newMachine("nginx", "caddy");
  active.add("caddy");
  await expect(setUp(["--self-signed"])).rejects.toThrow("--proxy");
  active.delete("caddy");
  await setUp(["--self-signed"]);
  expect(existsSync(host.at(ENABLED))).toBe(true);
  expect(existsSync(host.at(CADDYFILE))).toBe(false);
});

test("a first domain may be left out, and is not asked for again", async () => {
  const { answers, server, setUp } = await newMachine("caddy");
  answers.push("", "never.example");
  await setUp();
  await setUp();
  expect((await server.api("list-domains")).body.domains).toEqual([]);
  expect(answers).toEqual(["never.example"]);
});

test("a domain that setup made and the operator removed stays away", async () => {
  const { answers, server, setUp } = await newMachine("caddy");
  answers.push("example.nl");
  await setUp();
  await server.api("remove-domain", { domain: "example.nl" });
  await setUp();
  expect((await server.api("list-domains")).body.domains).toEqual([]);
});

test("the command of another program stays, unless it is to be replaced", async () => {
  const { host, setUp, read, write } = await newMachine("caddy");
  write("/usr/local/bin/m25-mail", "#!/bin/sh\n");
  await expect(setUp()).rejects.toThrow("which is another program");
  expect(read("/usr/local/bin/m25-mail")).toBe("#!/bin/sh\n");
  await setUp(["--replace"]);
  expect(readlinkSync(host.at("/usr/local/bin/m25-mail"))).toMatch(/\/deploy\/m25-mail$/);
});

test("another name than the server's address is refused", async () => {
  const { setUp, write, read } = await newMachine("caddy");
  write(
    "/etc/m25-mail/server.env",
    `${read("/etc/m25-mail/server.env")}\nM25_MAIL_PUBLIC_URL=https://old.example.nl\n`,
  );
  await expect(setUp()).rejects.toThrow("the server's address is https://old.example.nl");
});
