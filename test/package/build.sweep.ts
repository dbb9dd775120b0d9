/** Builds in a copy of the checkout, while its programs are started. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { environmentOf, startM25mail } from "../support/program.ts";
import { temporaryFolder } from "../support/store.ts";

const checkout = join(import.meta.dirname, "../..");

function copyOfCheckout(): string {
  const folder = temporaryFolder();
  for (const part of ["src", "db", "tools", "scripts", "deploy", "package.json", "LICENSE"])
    cpSync(join(checkout, part), join(folder, part), { recursive: true });
  symlinkSync(join(checkout, "node_modules"), join(folder, "node_modules"));
  return folder;
}

/** Starts a build, and resolves to its exit code. */
async function build(folder: string, ...flags: string[]): Promise<number | null> {
  const building = spawn(process.execPath, ["scripts/build.ts", ...flags], {
    cwd: folder,
    stdio: "ignore",
    env: environmentOf(),
  });
  const [code] = await once(building, "exit");
  return code;
}

/** Changes the text of the program, so that its files get other names. */
function change(folder: string, version: string): void {
  const file = join(folder, "package.json");
  writeFileSync(file, readFileSync(file, "utf8").replace(/"version": ".*?"/, `"version": "${version}"`));
}

const contentOf = (dist: string) =>
  readdirSync(dist)
    .filter((name) => /js$/.test(name))
    .map((name) => [name, readFileSync(join(dist, name), "utf8")]);

test("programs that start while builds run are the old ones or the new ones, and a server goes on", async () => {
  const folder = copyOfCheckout();
  const dist = join(folder, "dist");
  expect(await build(folder)).toBe(0);
  const server = startM25mail(["serve", "--db", join(temporaryFolder(), "m25-mail.db"), "--port", "0"], {
    command: [process.execPath, join(dist, "m25-mail.js")],
  });
  await server.says(/serves/);

  let building = true;
  const builds = (async () => {
    for (const version of ["0.1.1", "0.1.2", "0.1.3"]) {
      change(folder, version);
      expect(await build(folder)).toBe(0);
    }
  })().finally(() => {
    building = false;
  });
  const versions = new Set<string>();
  while (building) {
    for (const program of ["m25-mail.js", "m25-mail-node.mjs"]) {
      // A command on a database, which loads files long after its start.
      const args = program === "m25-mail.js" ? ["audit", "--db", join(folder, "none.db")] : ["status"];
      const { code, stderr } = await startM25mail(args, { command: [process.execPath, join(dist, program)] })
        .finished;
      expect(`${code} ${stderr}`).toMatch(
        program === "m25-mail.js" ? /^1 unavailable: There is no database/ : /^78/,
      );
    }
    const said = await startM25mail(["--version"], { command: [process.execPath, join(dist, "m25-mail.js")] })
      .finished;
    versions.add(said.stdout.trim());
  }
  await builds;
  expect(versions.size).toBeGreaterThan(1);

  server.child.kill("SIGTERM");
  expect((await server.finished).code).toBe(0);
});

test("a build that fails leaves the old one, and one for a package leaves no older file", async () => {
  const folder = copyOfCheckout();
  const dist = join(folder, "dist");
  expect(await build(folder)).toBe(0);
  const before = contentOf(dist);
  const main = join(folder, "src/program/main.ts");
  const source = readFileSync(main, "utf8");
  for (const broken of [`${source}\nnot code`, `throw new Error("no start");\n${source}`]) {
    writeFileSync(main, broken);
    expect(await build(folder)).not.toBe(0);
    expect(contentOf(dist)).toEqual(before);
  }
  writeFileSync(main, source);
  change(folder, "0.1.1");
  expect(await build(folder)).toBe(0);
  expect(readdirSync(dist)).toEqual(expect.arrayContaining(before.map(([name]) => name)));
  expect(await build(folder, "--alone")).toBe(0);
  const alone = readdirSync(dist).sort();
  rmSync(dist, { recursive: true });
  expect(await build(folder)).toBe(0);
  expect(readdirSync(dist).sort()).toEqual(alone);
  expect(readdirSync(folder)).not.toContain("dist-next");
  execFileSync(process.execPath, [join(dist, "m25-mail.js"), "--version"]);
});
