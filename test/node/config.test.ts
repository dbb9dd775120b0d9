import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { variablesIn } from "../../src/command-line/environment-file.ts";
import { main } from "../../src/node/cli.ts";
import { readCommand } from "../../src/node/config.ts";
import { stateOf } from "./answers.ts";
import { temporaryFolder } from "./folder.ts";
import { type Node, nodeOf, picture, startServer } from "./support.ts";

const rest = ["--key-file", "/etc/key", "--out", "/var/lib/out"];
const at = (server: string): string[] => ["once", "--server", server, ...rest];
const base = at("https://mail.example.nl");
const never = new AbortController().signal;

async function exitOf(
  node: Node,
  argv: readonly string[],
  env: Record<string, string> = {},
): Promise<number> {
  return await main(argv, env, node.machine, never);
}

describe("the command line", () => {
  it("takes every flag from the command line or the environment, and the command line wins", () => {
    const flags = [
      "run",
      "--server=http://10.0.0.1:8625",
      "--key-file",
      "/k",
      "--out",
      "/o",
      "--mail-root",
      "/srv/mail/",
      "--logins",
      "/l",
      "--dovecot-config",
      "/d",
      "--postfix-config",
      "/p",
      "--accept=local",
      "--ca",
      "/c",
      "--insecure-http",
      "--dry-run",
      "--max-loss-percent=10",
      "--max-loss-users=3",
      "--policy-port=8700",
      "--recipients-per-hour=50",
      "--recipients-per-day=0",
    ];
    const config = {
      server: new URL("http://10.0.0.1:8625/"),
      keyFile: "/k",
      out: "/o",
      mailRoot: "/srv/mail",
      logins: "/l",
      dovecotConfig: "/d",
      postfixConfig: "/p",
      acceptLocally: true,
      caFile: "/c",
      insecureHttp: true,
      dryRun: true,
      thresholds: { percent: 10, users: 3 },
      sending: { port: 8700, limits: { hour: 50, day: 0, first_time: 300 } },
    };
    expect(readCommand(flags, {})).toEqual({ name: "run", config });
    const env = {
      M25_MAIL_SERVER: "http://10.0.0.1:8625",
      M25_MAIL_KEY_FILE: "/k",
      M25_MAIL_OUT: "/o",
      M25_MAIL_MAIL_ROOT: "/srv/mail",
      M25_MAIL_LOGINS: "/l",
      M25_MAIL_DOVECOT_CONFIG: "/d",
      M25_MAIL_POSTFIX_CONFIG: "/p",
      M25_MAIL_ACCEPT: "local",
      M25_MAIL_CA: "/c",
      M25_MAIL_INSECURE_HTTP: "yes",
      M25_MAIL_DRY_RUN: "1",
      M25_MAIL_MAX_LOSS_PERCENT: "10",
      M25_MAIL_MAX_LOSS_USERS: "3",
      M25_MAIL_POLICY_PORT: "8700",
      M25_MAIL_RECIPIENTS_PER_HOUR: "50",
      M25_MAIL_RECIPIENTS_PER_DAY: "0",
    };
    expect(readCommand(["run"], env)).toEqual({ name: "run", config });
    expect(readCommand(["run", "--out", "/other"], env)).toMatchObject({ config: { out: "/other" } });
    expect(readCommand(["run"], { ...env, M25_MAIL_DRY_RUN: "0" })).toMatchObject({
      config: { dryRun: false },
    });
    expect(readCommand(["run", "--policy-port=0"], env)).toMatchObject({ config: { sending: undefined } });
  });

  it("on a node set up by the package, commands need no flags", () => {
    const env = variablesIn(join(temporaryFolder(), "none"));
    expect(env).toEqual({});
    const out = "/var/lib/m25-mail-node";
    expect(readCommand(["status"], env)).toEqual({ name: "status", config: { out, json: false } });
    expect(readCommand(["accept"], env)).toEqual({ name: "accept", config: { out, json: false } });
    const file = join(temporaryFolder(), "node.env");
    writeFileSync(
      file,
      "# settings\nM25_MAIL_SERVER=https://mail-admin.example.nl\nM25_MAIL_OUT='/srv/out'\nPATH=/x\n#M25_MAIL_CA=/c\n",
    );
    expect(variablesIn(file)).toEqual({
      M25_MAIL_SERVER: "https://mail-admin.example.nl",
      M25_MAIL_OUT: "/srv/out",
    });
    expect(readCommand(["once"], variablesIn(file))).toMatchObject({
      config: {
        server: new URL("https://mail-admin.example.nl"),
        keyFile: "/etc/m25-mail-node/key",
        out: "/srv/out",
      },
    });
  });

  it("without arguments, and for --help, it prints every flag with its variable on stdout", async () => {
    const node = nodeOf(await startServer(stateOf(1, [], [])));
    expect(await exitOf(node, [])).toBe(0);
    expect(await exitOf(node, ["--help"])).toBe(0);
    expect(node.printed[0]).toBe(node.printed[1]);
    for (const [flag, variable] of [
      ["--server URL", "M25_MAIL_SERVER"],
      ["--key-file FILE", "M25_MAIL_KEY_FILE"],
      ["--out DIR", "M25_MAIL_OUT"],
      ["--mail-root DIR", "M25_MAIL_MAIL_ROOT"],
      ["--dovecot-config FILE", "M25_MAIL_DOVECOT_CONFIG"],
      ["--ca FILE", "M25_MAIL_CA"],
      ["--insecure-http", "M25_MAIL_INSECURE_HTTP"],
      ["--dry-run", "M25_MAIL_DRY_RUN"],
    ]) {
      expect(node.printed[0]).toMatch(new RegExp(`${flag} +${variable} `));
    }
    expect(await exitOf(node, ["--version"])).toBe(0);
    expect(node.printed[2]).toBe("m25-mail-node dev\n");
    expect(node.log).toEqual([]);
  });

  it.each([
    ["once", "--dry-run", "--json"],
    ["join", "--ca FILE", "--out"],
    ["status", "--json", "--server"],
  ])("%s --help shows only that command", async (command, flag, other) => {
    const node = nodeOf({ url: new URL("http://127.0.0.1:1/") });
    expect(await exitOf(node, [command, "--help"])).toBe(0);
    expect(node.printed[0]).toMatch(new RegExp(`^m25-mail-node ${command} \\[?--`));
    expect(node.printed[0]).toContain(flag);
    expect(node.printed[0]).not.toContain(`  ${other}`);
  });

  it.each([
    [["twice", ...base.slice(1)], "there is no command"],
    [base.slice(1), "give one of setup, check, once, run, join"],
    [["--dry-run"], "give one of setup, check, once, run, join"],
    [[...base, "more"], "one word too many"],
    [[...base, "--posrtfix-config=x"], "There is no flag --posrtfix-config: did you mean --postfix-config?"],
    [["statsu"], 'there is no command "statsu": did you mean status?'],
    [base.slice(0, -1), "--out"],
    [["once"], "--server (or M25_MAIL_SERVER) is missing"],
    [
      ["setup", ...at("https://s.example").slice(1, 3), "--certbot", "--self-signed"],
      "give one of --certbot and --self-signed",
    ],
    [[...base.slice(0, -1), ""], "--out is empty"],
    [[...base, "--dry-run=1"], "--dry-run"],
    [[...base, "--out", "/elsewhere"], "--out is given more than once"],
    [[...base, "--accept=nobody"], "--accept must be one of server, local"],
    [at("mail.example.nl"), "must be a URL"],
    [["run", ...base.slice(1), "--json"], "run does not take --json: m25-mail-node run --help"],
    [["status", "--out", "/o", "--dry-run"], "status does not take --dry-run"],
    [["accept", "--out", "/o", "--max-loss-users=9"], "accept does not take --max-loss-users"],
    [["join", ...base.slice(1)], "join does not take --out"],
    [["once", "--dry-run", "--dry-run"], "--dry-run is given more than once"],
    [at("ftp://mail.example.nl"), "must be an https:// URL"],
    [at("https://me:secret@mail.example.nl"), "an address alone"],
    [at("https://mail.example.nl/?key=secret"), "an address alone"],
  ])(
    "%j is wrong usage: exit code 2, one line with the reason, and one with the help to read",
    async (argv, words) => {
      const node = nodeOf(await startServer(stateOf(1, [], [])));
      expect(await exitOf(node, argv)).toBe(2);
      expect(node.log).toEqual([expect.stringContaining(words), "for usage: m25-mail-node --help"]);
      expect(node.log.join()).not.toContain("secret");
      expect(node.printed).toEqual([]);
    },
  );

  it("a variable of another command is ignored, so that one file of variables serves all", () => {
    const env = {
      M25_MAIL_OUT: "/o",
      M25_MAIL_SERVER: "elsewhere",
      M25_MAIL_DRY_RUN: "maybe",
      M25_MAIL_JSON: "1",
    };
    expect(readCommand(["accept"], env)).toEqual({ name: "accept", config: { out: "/o", json: true } });
    expect(readCommand(["status"], env)).toEqual({ name: "status", config: { out: "/o", json: true } });
  });

  it("a switch in the environment is 1 or 0", () => {
    expect(() => readCommand(base, { M25_MAIL_DRY_RUN: "maybe" })).toThrow("M25_MAIL_DRY_RUN must be 1 or 0");
  });
});

describe("a configuration that cannot work", () => {
  it.each([
    "http://mail.example.nl",
    "http://10.0.0.1",
    "http://localhost.example.nl",
    "http://127.0.0.1.example.nl",
    "http://[::2]",
    "http://0.0.0.0",
  ])("%s without --insecure-http: 78", async (server) => {
    const node = nodeOf(await startServer(stateOf(1, [], [])));
    expect(await exitOf(node, at(server))).toBe(78);
    expect(node.log).toEqual([expect.stringContaining("would travel in the clear")]);
  });

  it.each(["https://mail.example.nl/mcp", "https://mail.example.nl/sync/v1/"])(
    "%s is refused for its path: 78",
    async (server) => {
      const node = nodeOf(await startServer(stateOf(1, [], [])));
      expect(await exitOf(node, at(server))).toBe(78);
      expect(node.log).toEqual([expect.stringContaining("without a path: https://mail.example.nl")]);
    },
  );

  it.each([
    "http://127.0.0.1:1",
    "http://127.8.9.1",
    "http://localhost",
    "http://[::1]:8625",
    "http://2130706433",
  ])("%s stays on this machine", (server) => {
    expect(readCommand(at(server), {})).toMatchObject({ name: "once" });
  });

  it("--insecure-http logs a warning at each start", async () => {
    const node = nodeOf(await startServer(stateOf(1, [], [])));
    const argv = [...at("http://192.0.2.1"), "--insecure-http"];
    expect(await exitOf(node, argv)).toBe(78);
    expect(node.log[0]).toContain("warning: --insecure-http");
  });

  it.each(["var/vmail", "/var/v:mail", "/var/v mail", "/var/%d", "/var/v\nmail", "/var/v\u00a0mail"])(
    "--mail-root %j: 78",
    async (root) => {
      const node = nodeOf(await startServer(stateOf(1, [], [])));
      expect(await exitOf(node, [...base, "--mail-root", root])).toBe(78);
      expect(node.log[0]).toContain("--mail-root");
    },
  );

  it("a key file that is missing, empty, a folder or not a key ends with 78, and its content is never shown", async () => {
    const server = await startServer(stateOf(1, [], []));
    const node = nodeOf(server);
    const folder = temporaryFolder();
    mkdirSync(join(folder, "folder"));
    writeFileSync(join(folder, "empty"), "\n");
    writeFileSync(join(folder, "two"), "first-secret-line-0123456\nsecond-secret-line-012345\n");
    writeFileSync(join(folder, "binary"), Buffer.from([0, 1, 2, 3, 255]));
    for (const name of ["missing", "folder", "empty", "two", "binary"]) {
      for (const command of ["once", "run"]) {
        const argv = [
          command,
          "--server",
          server.url.href,
          "--key-file",
          join(folder, name),
          "--out",
          node.config.out,
        ];
        node.log.length = 0;
        expect(await exitOf(node, argv), name).toBe(78);
        expect(node.log).toEqual([expect.stringContaining(join(folder, name))]);
        if (name === "missing") expect(node.log[0]).toContain("m25-mail-node join makes it");
        expect(node.log.join()).not.toContain("secret-line");
      }
    }
    expect(server.connections).toBe(0);
    expect(picture(node.config.out)).toEqual({});
  });

  it("a missing sqlite3 ends with 78 and the package to install", async () => {
    const server = await startServer(stateOf(1, [], []));
    const without = nodeOf(server, { find: async () => undefined });
    expect((await without.poll()).exitCode).toBe(78);
    expect(without.log[0]).toContain("apt-get install sqlite3");
  });

  it("a --dovecot-config without doveadm or without the file, a --ca that is no certificate, an --out that is a file: 78", async () => {
    const server = await startServer(stateOf(1, [], []));
    const node = nodeOf(server);
    const file = join(temporaryFolder(), "file");
    writeFileSync(file, "no certificate");
    expect((await nodeOf(server, { find: async () => "/bin/true" }).poll()).exitCode).toBe(75);
    for (const [change, words] of [
      [{ dovecotConfig: file }, "doveadm is not installed"],
      [{ caFile: file }, "does not begin with a certificate"],
      [{ caFile: `${file}.pem` }, "does not exist"],
      [{ out: file }, "cannot be created"],
      [{ out: join(file, "out") }, "that is not a folder"],
      [{ out: "/proc/m25-mail/out" }, "there is no such file or folder"],
    ] as const) {
      node.log.length = 0;
      const changed = nodeOf(server);
      Object.assign(changed.config, change);
      expect((await changed.poll()).exitCode, words).toBe(78);
      expect(changed.log).toEqual([expect.stringContaining(words)]);
    }
    const installed = nodeOf(server, { find: async () => "/bin/true" });
    installed.config.dovecotConfig = `${file}.conf`;
    expect((await installed.poll()).exitCode).toBe(78);
    expect(installed.log[0]).toContain("does not exist");
  });
});
