/** An upgrade from the commit before the last change of what is stored or what nodes and the server exchange. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasHistory } from "../support/needs.ts";
import { environmentOf, startM25mail } from "../support/program.ts";
import { temporaryFolder } from "../support/store.ts";

const checkout = join(import.meta.dirname, "../..");
const earlier = mkdtempSync(join(tmpdir(), "m25-mail-earlier-"));
afterAll(() => rmSync(earlier, { recursive: true }));

type Build = "before" | "now";
const dist = { before: join(earlier, "dist"), now: join(checkout, "dist") } satisfies Record<Build, string>;
const PEOPLE = ["jan@example.nl", "piet@example.nl"];

function git(...args: string[]): Buffer {
  return execFileSync("git", args, { cwd: checkout, maxBuffer: 2 ** 28 });
}

/** A server with its database, and a node with its replica, each of them the build that a step names. */
class Installation {
  readonly #folder = temporaryFolder();
  readonly #database = join(this.#folder, "m25-mail.db");
  readonly #keyFile = join(this.#folder, "key");
  readonly #out = join(this.#folder, "out");

  constructor() {
    mkdirSync(this.#out, { mode: 0o700 });
  }

  /** Runs `m25-mail` of this build at the database and returns what it printed. */
  shell(build: Build, args: readonly string[], input = ""): string {
    const command = [join(dist[build], "m25-mail.js"), ...args, "--db", this.#database];
    const { status, stdout, stderr } = spawnSync(process.execPath, command, {
      env: environmentOf(),
      input,
      encoding: "utf8",
    });
    expect(stderr).not.toMatch(/node:internal/);
    expect(status, stderr).toBe(0);
    return stdout;
  }

  addUser(build: Build, email: string): void {
    this.shell(build, ["call", "add-user", "--email", email], `correct horse battery ${email.length}\n`);
  }

  /** Starts with two people and a node that has joined, all of it the earlier build. */
  begin(): void {
    this.shell("before", ["stdio"]); // creates the database
    this.shell("before", ["call", "add-domain", "--domain", "example.nl"]);
    for (const email of PEOPLE) this.addUser("before", email);
    const { sync_key } = JSON.parse(this.shell("before", ["call", "add-node", "--name", "pi", "--json"]));
    writeFileSync(this.#keyFile, `${sync_key}\n`, { mode: 0o600 });
  }

  /** One poll of the node. @returns its exit code and its log */
  async poll(server: Build, node: Build): Promise<{ code: number | null; log: string }> {
    const serve = ["serve", "--db", this.#database, "--port", "0"];
    const running = startM25mail(serve, { command: [process.execPath, join(dist[server], "m25-mail.js")] });
    const [, url = ""] = await running.says(/serves (https?:\/\/\S+)/);
    const args = ["once", "--server", url, "--key-file", this.#keyFile, "--out", this.#out];
    const once = startM25mail(args, {
      command: [process.execPath, join(dist[node], "m25-mail-node.mjs")],
      environment: { M25_MAIL_POSTFIX_CONFIG: process.env.M25_MAIL_POSTFIX_CONFIG ?? "" },
    });
    const { code, stderr } = await once.finished;
    running.child.kill("SIGTERM");
    expect((await running.finished).code).toBe(0);
    return { code, log: stderr };
  }

  /** The addresses that the node of this build serves, whatever its format. */
  served(node: Build): string[] {
    const program = join(dist[node], "m25-mail-node.mjs");
    const text = execFileSync(process.execPath, [program, "export", "--out", this.#out], {
      env: environmentOf(),
      encoding: "utf8",
    });
    return [...new Set(text.match(/[a-z]+@example\.nl/g))].sort();
  }

  /** The node's status, as the server of this build lists it. */
  status(server: Build): string {
    const { nodes } = JSON.parse(this.shell(server, ["call", "list-nodes", "--json"])) as {
      nodes: { status: string }[];
    };
    return nodes[0]?.status ?? "";
  }
}

describe.skipIf(!hasHistory())(
  "from the commit before the last change of the database or the protocol",
  () => {
    beforeAll(() => {
      const [last = ""] = git(
        "log",
        "-1",
        "--format=%H",
        "--",
        "db/sqlite/migrations",
        "src/sync",
        "src/node",
      )
        .toString()
        .split("\n");
      const archive = git("archive", "--format=tar", `${last}~1`);
      execFileSync("tar", ["-x", "-C", earlier], { input: archive });
      symlinkSync(join(checkout, "node_modules"), join(earlier, "node_modules"));
      execFileSync(process.execPath, ["scripts/build.ts"], { cwd: earlier, stdio: "pipe" });
      expect(readFileSync(join(dist.before, "m25-mail-node.mjs"), "utf8")).toContain("m25-mail-node");
    });

    test("the server first: the node goes on serving, then takes new users again", async () => {
      const installation = new Installation();
      installation.begin();
      expect(await installation.poll("before", "before")).toMatchObject({ code: 0 });
      expect(installation.served("before")).toEqual(PEOPLE);

      installation.addUser("now", "kees@example.nl");
      await installation.poll("now", "before");
      expect(installation.served("before")).toEqual(expect.arrayContaining(PEOPLE));
      expect(installation.status("now")).toMatch(/^(current|outdated|behind)$/);

      expect(await installation.poll("now", "now")).toMatchObject({ code: 0 });
      expect(installation.served("now")).toEqual(["jan@example.nl", "kees@example.nl", "piet@example.nl"]);
      expect(installation.status("now")).toBe("current");
    });

    test("the node first: it goes on serving what it has, and a removed user is gone once the server follows", async () => {
      const installation = new Installation();
      installation.begin();
      expect(await installation.poll("before", "before")).toMatchObject({ code: 0 });

      await installation.poll("before", "now");
      installation.addUser("before", "kees@example.nl");
      await installation.poll("before", "now");
      expect(installation.served("now")).toEqual(expect.arrayContaining(PEOPLE));

      installation.shell("now", ["call", "remove-user", "--email", "piet@example.nl"]);
      expect(await installation.poll("now", "now")).toMatchObject({ code: 0 });
      expect(installation.served("now")).toEqual(["jan@example.nl", "kees@example.nl"]);
      expect(installation.status("now")).toBe("current");
    });
  },
);
