/** Damage to a node's files: a daemon gets a right answer or a failure, never a wrong answer. */
import { execFileSync } from "node:child_process";
import {
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { main } from "../../src/node/cli.ts";
import { FilesReplaced } from "../../src/node/replica/in-place.ts";
import { attachToRead, isInPlace, openReplica, setDamagedAside } from "../../src/node/replica/replica.ts";
import { Sqlite } from "../../src/node/replica/sqlite.ts";
import { hash, stateOf, user } from "./answers.ts";
import { daemons, served, temporaryFolder } from "./folder.ts";
import { Life } from "./life.ts";
import { expectedOf, nodeOf, serves, startServer } from "./support.ts";

const one = stateOf(1, ["example.nl"], [user("jan@example.nl"), user("piet@example.nl")]);
const two = stateOf(
  2,
  ["example.nl"],
  [user("jan@example.nl", { password: hash("b") }), user("els@example.nl")],
);
const everything = {
  addresses: ["els@example.nl", "jan@example.nl"],
  logins: ["els@example.nl", "jan@example.nl"],
  domains: ["example.nl"],
};

async function lifeAtTwo(): Promise<Life> {
  const life = await Life.begin();
  await life.take(one);
  await life.take(two);
  return life;
}

/** A copy of both files, as a backup program may make it. */
function copies(life: Life): () => void {
  const names = ["logins.db", "addresses.db"].flatMap((name) => [name, `${name}-wal`]);
  const kept = names.map((name) => [name, readFileSync(join(life.out, name))] as const);
  return () => {
    for (const [name, content] of kept) {
      writeFileSync(join(life.out, `${name}.new`), content, { mode: 0o640 });
      renameSync(join(life.out, `${name}.new`), join(life.out, name));
    }
    for (const name of ["logins.db", "addresses.db"]) rmSync(join(life.out, `${name}-shm`), { force: true });
  };
}

test("without the program, and after it was killed, the daemons serve the same as before", async () => {
  const life = await lifeAtTwo();
  process.kill(life.replica.db.pid ?? 0, "SIGKILL");
  await expect(life.replica.db.run("SELECT 1;")).rejects.toThrow();
  expect(served(life.out)).toEqual(everything);
  await life.open();
  expect(life.replica.meta).toMatchObject({ ready: 1, revision: 2 });
});

test.each(["missing", "zeroed", "empty"])(
  "after a reboot with the -shm %s, and without the server, a look-up is right or fails; then all is served as before",
  async (how) => {
    const server = await startServer(two);
    const node = nodeOf(server);
    const { out } = node.config;
    await node.poll();
    for (const name of ["logins.db-shm", "addresses.db-shm"]) {
      const path = join(out, name);
      if (how === "missing") rmSync(path);
      else if (how === "empty") truncateSync(path, 0);
      else writeFileSync(path, Buffer.alloc(readFileSync(path).length));
    }
    expect(["fails", ["OK"]]).toContainEqual(daemons.mailbox(out, "jan@example.nl"));
    expect(["fails", []]).toContainEqual(daemons.mailbox(out, "piet@example.nl"));
    server.serves = (_, response) => void response.writeHead(503).end();
    expect((await node.poll()).exitCode).toBe(75);
    expect(serves(out)).toEqual(expectedOf(two));
  },
);

test("after a power cut during a commit the node serves one of the two states whole", async () => {
  const life = await Life.begin();
  const logs = ["logins.db-wal", "addresses.db-wal"] as const;
  const read = () => logs.map((name) => readFileSync(join(life.out, name)));
  await life.take(one);
  const before = read();
  await life.take(two);
  const after = read();
  const atOne = { ...everything, addresses: [...one.users.keys()], logins: [...one.users.keys()] };
  const seen = new Set<string>();
  // The logins are on the disk before the first byte of the addresses' commit is written.
  for (let step = 0; step <= 20; step += 1) {
    await life.replica.db.close();
    for (const [index, name] of logs.entries()) {
      const [old = Buffer.alloc(0), whole = Buffer.alloc(0)] = [before[index], after[index]];
      const part = Math.min(Math.max(step / 10 - index, 0), 1);
      const length = Math.floor(old.length + (whole.length - old.length) * part);
      writeFileSync(join(life.out, name), whole.subarray(0, length));
      rmSync(join(life.out, name.replace("-wal", "-shm")), { force: true });
    }
    await life.open();
    const found = served(life.out);
    expect([atOne, everything]).toContainEqual(found);
    seen.add(found.addresses.join());
  }
  expect(seen.size).toBe(2);
});

test("a replica of another version of the program goes on being served, and the program says what to do", async () => {
  const server = await startServer(two);
  const node = nodeOf(server);
  const { out } = node.config;
  await node.poll();
  execFileSync("sqlite3", ["-init", "/dev/null", join(out, "logins.db"), "PRAGMA user_version = 99"]);
  expect((await node.poll()).exitCode).toBe(78);
  expect(node.log.at(-1)).toContain(
    "logins.db has version 99 of the replica: run the m25-mail-node that made it",
  );
  expect(serves(out)).toEqual(expectedOf(two));
});

test("replaced files are not used before the server has answered", async () => {
  const life = await Life.begin();
  await life.take(one);
  const putBack = copies(life);
  await life.take(two);
  putBack();
  expect(await isInPlace(life.replica)).toBe(false);
  await life.reopen();
  // Piet was removed, and els was added since.
  for (const address of ["piet@example.nl", "els@example.nl", "jan@example.nl"]) {
    expect(daemons.login(life.out, address)).toBe("fails");
    expect(daemons.mailbox(life.out, address)).toBe("fails");
  }
  expect(life.reloaded).toEqual(["logins.db", "logins.db"]);
  await life.take(two);
  expect(served(life.out)).toEqual(everything);
  expect(daemons.login(life.out, "piet@example.nl")).toEqual([]);
});

test("an older file of logins, copied into place, is noticed by its revision", async () => {
  const life = await Life.begin();
  await life.take(one);
  await life.replica.db.close();
  const names = ["logins.db", "logins.db-wal"];
  for (const name of names) copyFileSync(join(life.out, name), join(life.out, `${name}.old`));
  await life.open();
  await life.take(two);
  await life.replica.db.close();
  rmSync(join(life.out, "logins.db-shm"));
  for (const name of names) writeFileSync(join(life.out, name), readFileSync(join(life.out, `${name}.old`)));
  await life.open();
  expect(daemons.login(life.out, "piet@example.nl")).toBe("fails");
  expect(daemons.mailbox(life.out, "piet@example.nl")).toBe("fails");
  await life.take(two);
  expect(served(life.out)).toEqual(everything);
});

test.each([
  ["all", ["logins.db", "addresses.db"]],
  ["addresses.db", ["addresses.db"]],
])(
  "older files (%s) that are written over the open ones are noticed before the next change",
  async (_, files) => {
    const life = await Life.begin();
    await life.take(one);
    const names = files.flatMap((name) => [name, `${name}-wal`, `${name}-shm`]);
    const former = names.map((name) => readFileSync(join(life.out, name)));
    await life.take(two);
    for (const [index, name] of names.entries()) {
      const file = openSync(join(life.out, name), "r+");
      writeSync(file, former[index] ?? Buffer.alloc(0));
      closeSync(file);
    }
    const three = stateOf(3, ["example.nl"], [...two.users.values()]);
    await expect(life.take(three)).rejects.toThrow(FilesReplaced);
    await life.reopen();
    const revision = files.includes("logins.db") ? 1 : 2;
    expect(life.replica.meta).toMatchObject({ ready: 1, revision });
    life.state = revision === 1 ? one : two;
    await life.take(three);
    expect(served(life.out)).toEqual(everything);
  },
);

test.each(["logins.db", "addresses.db"])("a -wal of %s that somebody removed is noticed", async (name) => {
  const life = await lifeAtTwo();
  rmSync(join(life.out, `${name}-wal`));
  expect(await isInPlace(life.replica)).toBe(false);
  await life.replica.db.close();
  rmSync(join(life.out, `${name}-wal`), { force: true });
  rmSync(join(life.out, `${name}-shm`), { force: true });
  await life.open();
  if (name === "logins.db") {
    expect(daemons.login(life.out, "jan@example.nl")).toBe("fails");
    await life.take(two);
  }
  expect(life.reloaded.at(-1)).toBe(name);
  expect(life.reloaded.length).toBe(2);
  expect(served(life.out)).toEqual(everything);
});

describe.each(["logins.db", "addresses.db"])("a copy in the place of %s's", (name) => {
  test.each(["-shm", "-wal"])(
    "%s is noticed, and again if the program did not tell the daemons",
    async (suffix) => {
      const life = await lifeAtTwo();
      const path = join(life.out, `${name}${suffix}`);
      copyFileSync(path, `${path}.copy`);
      renameSync(`${path}.copy`, path);
      expect(await isInPlace(life.replica)).toBe(false);
      await life.replica.db.close();
      const killed = await openReplica(life.place);
      expect(killed.replaced).toBe(name);
      await killed.db.close();
      await life.open();
      expect(life.reloaded.slice(1)).toEqual([name]);
      const doubtful = name === "logins.db" && suffix === "-wal";
      expect(life.replica.meta).toMatchObject({ ready: doubtful ? 0 : 1, revision: 2 });
      if (doubtful) await life.take(two);
      expect(served(life.out)).toEqual(everything);
      expect(await isInPlace(life.replica)).toBe(true);
    },
  );
});

test("where a start was killed before it had closed both files, both are closed", async () => {
  const life = await lifeAtTwo();
  await life.replica.db.run("UPDATE state.meta SET ready = 0;");
  await life.reopen();
  expect(daemons.login(life.out, "jan@example.nl")).toBe("fails");
  expect(daemons.mailbox(life.out, "jan@example.nl")).toBe("fails");
});

test.each(["status", "export", "orphans"])(
  "%s makes no -wal in the place of a removed one",
  async (command) => {
    const life = await lifeAtTwo();
    await life.replica.db.close();
    rmSync(join(life.out, "logins.db-wal"));
    const node = nodeOf({ url: new URL("http://127.0.0.1:1") });
    const argv = [
      command,
      "--out",
      life.out,
      ...(command === "orphans" ? ["--mail-root", temporaryFolder()] : []),
    ];
    expect(await main(argv, {}, node.machine, new AbortController().signal)).not.toBe(0);
    expect([...node.log, ...node.printed].join()).toContain("somebody has removed logins.db-wal from --out");
    expect(existsSync(join(life.out, "logins.db-wal"))).toBe(false);
  },
);

test("Postfix's file, if lost, empty or damaged, is made again from the logins without the server", async () => {
  const damages: ((path: string) => void)[] = [
    (path) => rmSync(path),
    (path) => truncateSync(path, 0),
    (path) => writeFileSync(path, "no database\n".repeat(500)),
  ];
  for (const damage of damages) {
    const life = await lifeAtTwo();
    await life.replica.db.close();
    for (const suffix of ["-wal", "-shm"]) rmSync(join(life.out, `addresses.db${suffix}`));
    damage(join(life.out, "addresses.db"));
    expect(daemons.mailbox(life.out, "jan@example.nl")).toBe("fails");
    await life.open();
    expect(served(life.out)).toEqual(everything);
    expect(daemons.mailbox(life.out, "piet@example.nl")).toEqual([]);
  }
});

test("if the logins are lost, empty or damaged, look-ups fail until the server has sent them, and losses still count", async () => {
  const damages: ((path: string) => void)[] = [
    (path) => rmSync(path),
    (path) => truncateSync(path, 0),
    (path) => writeFileSync(path, "no database\n".repeat(500)),
  ];
  for (const damage of damages) {
    const life = await Life.begin();
    const team = Array.from({ length: 20 }, (_, index) => `u${index}@example.nl`);
    await life.take(
      stateOf(
        1,
        ["example.nl"],
        team.map((name) => user(name)),
      ),
    );
    await life.replica.db.close();
    for (const suffix of ["-wal", "-shm"]) rmSync(join(life.out, `logins.db${suffix}`));
    damage(join(life.out, "logins.db"));
    expect(daemons.login(life.out, "u1@example.nl")).toBe("fails");
    await life.open();
    expect(daemons.login(life.out, "u1@example.nl")).toBe("fails");
    life.state = undefined;
    const left = stateOf(2, ["example.nl"], [user("u1@example.nl")]);
    expect((await life.take(left)).withheld).toBe(19);
    expect(daemons.mailbox(life.out, "u2@example.nl")).toEqual(["OK"]);
    expect(daemons.login(life.out, "u1@example.nl")).not.toEqual([]);
  }
});

describe.each(["logins.db", "addresses.db"])("%s beside a daemon that has it open", (name) => {
  test.each([
    ["missing", (path: string) => rmSync(path)],
    ["empty", (path: string) => truncateSync(path)],
    ["without its -wal", (path: string) => rmSync(`${path}-wal`)],
    ["with an empty -wal", (path: string) => truncateSync(`${path}-wal`)],
  ])("is made good if it is %s", async (_, damage) => {
    const life = await lifeAtTwo();
    const daemon = new Sqlite({ command: "sqlite3", folder: life.out });
    onTestFinished(() => daemon.close());
    await attachToRead(daemon, "open", join(life.out, name));
    damage(join(life.out, name));
    await life.reopen();
    expect(life.reloaded.at(-1)).toBe(name);
    if (name === "logins.db") {
      expect(daemons.login(life.out, "jan@example.nl")).toBe("fails");
      expect(daemons.mailbox(life.out, "jan@example.nl")).toBe("fails");
      await life.take(two, { whole: true });
    }
    expect(served(life.out)).toEqual(everything);
  });
});

test("files are not taken for damaged where the disk has no room for a -shm", async () => {
  const life = await lifeAtTwo();
  await life.replica.db.close();
  const full = join(temporaryFolder(), "sqlite3");
  writeFileSync(full, `#!/bin/sh\ntrap '' XFSZ\nulimit -f 8\nexec sqlite3 "$@"\n`, { mode: 0o755 });
  for (const name of ["logins.db", "addresses.db"]) rmSync(join(life.out, `${name}-shm`));
  await expect(openReplica({ ...life.place, sqlite: full })).rejects.toThrow("disk I/O error");
  await life.open();
  expect(life.log).toEqual([]);
  expect(life.replica.meta).toMatchObject({ ready: 1, revision: 2 });
  expect(served(life.out)).toEqual(everything);
});

test("a damaged page in the middle fails, and a whole state repairs it", async () => {
  const life = await Life.begin();
  const many = stateOf(
    1,
    ["example.nl"],
    Array.from({ length: 2000 }, (_, index) => user(`u${String(index).padStart(4, "0")}@example.nl`)),
  );
  await life.take(many);
  await life.replica.db.run("PRAGMA state.wal_checkpoint(TRUNCATE);");
  await life.replica.db.close();
  const path = join(life.out, "logins.db");
  const bytes = readFileSync(path);
  for (let page = 20; page * 4096 < bytes.length; page += 1)
    bytes.fill(0xff, page * 4096, page * 4096 + 4096);
  writeFileSync(path, bytes);
  await life.open();
  life.state = undefined;
  await expect(life.take({ ...many, revision: 2 })).rejects.toThrow(/malformed/);
  await setDamagedAside(life.place);
  await life.open();
  await life.take({ ...many, revision: 2 });
  expect(life.log.join()).toContain("logins.db is damaged");
  expect(served(life.out).logins.length).toBe(2000);
});
