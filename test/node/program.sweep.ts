import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { builtinModules } from "node:module";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { thisMachine } from "../../src/machine/machine.ts";
import { otherNodes } from "../support/needs.ts";
import { hash, stateOf, user } from "./answers.ts";
import { argumentsOf, bundle, bundledVersion, start } from "./bundled.ts";
import { temporaryFolder } from "./folder.ts";
import { expectedOf, serves, startServer } from "./support.ts";

const one = stateOf(1, ["example.nl"], [user("jan@example.nl"), user("piet@example.nl")]);
const two = stateOf(
  2,
  ["example.nl"],
  [user("jan@example.nl", { password: hash("b") }), user("els@example.nl")],
);
const withSqlite = (await thisMachine.find("sqlite3")) === undefined ? it.skip : it;
const asRoot = process.geteuid?.() === 0 ? withSqlite : it.skip;

function mode(path: string): string {
  return (statSync(path).mode & 0o777).toString(8);
}

/** Without the times at the beginning of each line. */
function untimed(stderr: string): string {
  return stderr.replaceAll(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z /gm, "");
}

describe("the shipped program", () => {
  it("is one small file that needs nothing but Node", async () => {
    const text = readFileSync(await bundle(), "utf8");
    const imported = [...text.matchAll(/^import .* from "(.*)";$/gm)].map((match) => match[1] ?? "");
    expect(imported.length).toBeGreaterThan(5);
    for (const name of imported) expect(builtinModules).toContain(name.replace(/^node:/, ""));
    // A bundled zod alone would have half a million.
    expect(text.length).toBeLessThan(220_000);
  });

  withSqlite("runs on each Node of this machine, polls, and prints its version", async (context) => {
    const file = await bundle();
    const nodes = otherNodes();
    for (const { path, version } of [{ path: process.execPath, version: process.version }, ...nodes]) {
      const server = await startServer(one);
      const folder = temporaryFolder();
      const said = await start([path, file, "--version"]).ended;
      expect(said, version).toEqual({
        code: 0,
        signal: null,
        stdout: `m25-mail-node ${bundledVersion}\n`,
        stderr: "",
      });
      const result = await start([path, file, "once", ...argumentsOf(server, folder)]).ended;
      expect(result, version).toMatchObject({ code: 0, stdout: "" });
      // A Dovecot that is not running is a warning.
      expect(untimed(result.stderr).replaceAll(/^warning: .*\n/gm, ""), version).toBe(
        "applied revision 1: 1 domain added, 2 addresses added; domains: 1, addresses: 2\n",
      );
      expect(serves(join(folder, "out")), version).toEqual(expectedOf(one));
      expect(server.reports[0]?.version).toBe(bundledVersion);
    }
    if (nodes.length === 0) context.skip("no other Node (18, 20, 22) is installed here");
  });

  it("takes its settings from the environment too", async () => {
    const file = await bundle();
    const server = await startServer(one);
    const folder = temporaryFolder();
    const [, url, , key, , out] = argumentsOf(server, folder);
    const env = { M25_MAIL_SERVER: url, M25_MAIL_KEY_FILE: key, M25_MAIL_OUT: out, M25_MAIL_DRY_RUN: "1" };
    const result = await start([process.execPath, file, "once"], { env }).ended;
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout).toContain("add user jan@example.nl\n");
    expect(existsSync(out ?? "")).toBe(false);
  });

  asRoot("modes and owners are right whatever the umask", async () => {
    const file = await bundle();
    const [dovecot, postfix] = await Promise.all(["dovecot", "postfix"].map(thisMachine.group));
    for (const umask of ["000", "077"]) {
      const server = await startServer(one);
      const folder = temporaryFolder();
      const out = join(folder, "a/b/out");
      const args = [...argumentsOf(server, folder).slice(0, -1), out];
      const command = [
        "/bin/sh",
        "-c",
        `umask ${umask}; exec "$@"`,
        "sh",
        process.execPath,
        file,
        "once",
        ...args,
      ];
      for (const state of [one, two]) {
        server.serves = state;
        expect((await start(command).ended).code).toBe(0);
        for (const [name, group] of [
          ["logins.db", dovecot],
          ["addresses.db", postfix],
        ] as const) {
          for (const suffix of ["", "-wal", "-shm"]) {
            const path = join(out, `${name}${suffix}`);
            expect([suffix, mode(path)]).toEqual([suffix, group === undefined ? "600" : "640"]);
            expect(statSync(path)).toMatchObject({ uid: 0, gid: group ?? 0 });
          }
        }
        expect(mode(join(out, ".lock"))).toBe("600");
        expect(mode(out)).toBe("711");
        for (const made of [join(folder, "a/b"), join(folder, "a")]) expect(mode(made)).toBe("755");
      }
    }
  });

  asRoot("runs without root's rights: its files are its own, and nobody else reads the hashes", async () => {
    const file = await bundle();
    const server = await startServer(one);
    const folder = temporaryFolder();
    const args = argumentsOf(server, folder);
    const [uid, gid] = [65534, 65534];
    chownSync(join(folder, "key"), uid, gid);
    mkdirSync(join(folder, "out"));
    chownSync(join(folder, "out"), uid, gid);
    const copy = join(folder, "node.mjs");
    copyFileSync(file, copy);
    const node = otherNodes()[0]?.path ?? process.execPath;
    for (const state of [one, two]) {
      server.serves = state;
      const result = await start([node, copy, "once", ...args], { uid, gid }).ended;
      expect(result, result.stderr).toMatchObject({ code: 0 });
      expect(serves(join(folder, "out"))).toEqual(expectedOf(state));
      expect(statSync(join(folder, "out", "logins.db"))).toMatchObject({ uid, gid });
      expect(mode(join(folder, "out", "logins.db"))).toBe("600");
    }
  });

  asRoot("where it may not write it says so, and ends with 78", async () => {
    const server = await startServer(one);
    const folder = temporaryFolder();
    const args = argumentsOf(server, folder);
    chownSync(join(folder, "key"), 65534, 65534);
    mkdirSync(join(folder, "out"), { mode: 0o755 });
    const copy = join(folder, "node.mjs");
    copyFileSync(await bundle(), copy);
    const node = otherNodes()[0]?.path ?? process.execPath;
    const result = await start([node, copy, "once", ...args], { uid: 65534, gid: 65534 }).ended;
    expect(result.code).toBe(78);
    expect(untimed(result.stderr)).toBe(`${folder}/out/.lock: not permitted (EACCES)\n`);
  });

  withSqlite("of two runs at the same time the second says so and ends with 75", async () => {
    const file = await bundle();
    const server = await startServer(one);
    const folder = temporaryFolder();
    const command = [process.execPath, file, "once", ...argumentsOf(server, folder)];
    let arrived = (): void => undefined;
    const polling = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    let answer = (): void => undefined;
    server.serves = (_, response) => {
      arrived();
      answer = () => response.writeHead(500).end();
    };
    const first = start(command);
    await polling;
    const second = await start(command).ended;
    expect(second.code).toBe(75);
    expect(untimed(second.stderr)).toBe(`another m25-mail-node uses ${folder}/out\n`);
    // A killed first run leaves no lock.
    first.kill("SIGKILL");
    await first.ended;
    answer();
    server.serves = one;
    expect((await start(command).ended).code).toBe(0);
  });

  it("a sqlite3 that outlives a killed run keeps the next run away until it ends", async () => {
    const server = await startServer(one);
    const folder = temporaryFolder();
    const bin = join(folder, "bin");
    mkdirSync(bin);
    // Replaces sqlite3: tells that it works, and works until it is told to stop.
    writeFileSync(
      join(bin, "sqlite3"),
      `#!/bin/sh\n: > ${folder}/working\nwhile [ ! -e ${folder}/enough ]; do sleep 0.02; done\n`,
    );
    chmodSync(join(bin, "sqlite3"), 0o755);
    const env = { PATH: `${bin}:${process.env.PATH}` };
    const command = [process.execPath, await bundle(), "once", ...argumentsOf(server, folder)];
    const first = start(command, { env });
    while (!existsSync(join(folder, "working"))) await new Promise((resolve) => setTimeout(resolve, 5));
    first.kill("SIGKILL");
    while (first.pid > 0 && existsSync(`/proc/${first.pid}/fd/0`))
      await new Promise((resolve) => setTimeout(resolve, 5));
    expect((await start(command, { env }).ended).stderr).toContain("another m25-mail-node uses");
    writeFileSync(join(folder, "enough"), "");
    await first.ended;
    const again = [...command];
    let result = await start(again).ended;
    while (result.stderr.includes("another m25-mail-node uses")) result = await start(again).ended;
    expect(result.code).toBe(0);
  });

  withSqlite("resident: polls at once, reports, and ends cleanly when it is told to", async () => {
    const file = await bundle();
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      const server = await startServer(one);
      const folder = temporaryFolder();
      const run = start([process.execPath, file, "run", ...argumentsOf(server, folder)]);
      await run.said("applied revision 1");
      run.kill(signal);
      expect(await run.ended).toMatchObject({ code: 0, signal: null });
    }
  });

  withSqlite(
    "resident, beside another one: logs once that it waits, and goes on when the other has ended",
    async () => {
      const file = await bundle();
      const server = await startServer(one);
      const folder = temporaryFolder();
      const command = [process.execPath, file, "run", ...argumentsOf(server, folder)];
      const first = start(command);
      await first.said("applied revision 1");
      const second = start(command);
      await second.said(`another m25-mail-node uses ${folder}/out: this one waits until it ends`);
      const third = start(command);
      await third.said("this one waits until it ends");
      third.kill("SIGTERM");
      expect(await third.ended).toMatchObject({ code: 0, signal: null });
      first.kill("SIGTERM");
      await first.ended;
      server.serves = two;
      await second.said("applied revision 2");
      second.kill("SIGTERM");
      const { code, stderr } = await second.ended;
      expect(code).toBe(0);
      expect(untimed(stderr).split("\n").slice(0, 3)).toEqual([
        `another m25-mail-node uses ${folder}/out: this one waits until it ends`,
        `the other m25-mail-node no longer uses ${folder}/out: this one goes on`,
        expect.stringContaining("in step with"),
      ]);
    },
  );

  it("writes the time on each log line unless journald does, and none in answers to a person", async () => {
    const file = await bundle();
    const server = await startServer((_, response) => response.writeHead(503).end());
    const command = (name: string, folder: string) => [
      process.execPath,
      file,
      name,
      ...argumentsOf(server, folder),
    ];
    const words = "the server answered 503\n";
    const plain = await start(command("once", temporaryFolder())).ended;
    expect(untimed(plain.stderr)).toBe(words);
    expect(Math.abs(Date.parse(plain.stderr.split(" ")[0] ?? "") - Date.now())).toBeLessThan(60_000);
    const journald = ["sh", "-c", 'JOURNAL_STREAM="$(stat -L -c %d:%i /proc/self/fd/2)" exec "$@"', "sh"];
    expect((await start([...journald, ...command("once", temporaryFolder())]).ended).stderr).toBe(words);
    // A shell in a desktop has the variable too, and its programs do not write to the journal.
    const env = { ...process.env, JOURNAL_STREAM: "8:1" };
    expect((await start(command("once", temporaryFolder()), { env }).ended).stderr).not.toBe(words);
    const status = await start([process.execPath, file, "status", "--server", "x", "--out", "/nowhere"])
      .ended;
    expect(status.stderr).toMatch(/^status does not take --server/);
  });

  withSqlite("told to stop while it waits for the server, it ends at once", async () => {
    const file = await bundle();
    for (const [command, code] of [
      ["run", 0],
      ["once", 75],
    ] as const) {
      let arrived = (): void => undefined;
      const polling = new Promise<void>((resolve) => {
        arrived = resolve;
      });
      const server = await startServer(() => arrived());
      const run = start([process.execPath, file, command, ...argumentsOf(server, temporaryFolder())]);
      await polling;
      run.kill("SIGTERM");
      const stderr = expect.stringMatching(/Z stopped\n$/);
      expect(await run.ended).toMatchObject({ code, signal: null, stderr });
    }
  });
});
