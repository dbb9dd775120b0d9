/** The real server and the real node's program, over a line that fails, against a model of what was asked for. */
import { copyFileSync, existsSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import fc from "fast-check";
import { expect, test } from "vitest";
import { backUp } from "../../db/sqlite/backup.ts";
import { servedAliases } from "../node/folder.ts";
import { type Node, nodeOf, serves } from "../node/support.ts";
import { activeUsers, type Call, expected, type Model, mailCall, signedIn } from "../support/mail-model.ts";
import { m25mail } from "../support/program.ts";
import { servedState } from "../support/recount.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { fakeHash, temporaryFolder, testRuntime } from "../support/store.ts";

/** The state that a node must serve, and the part of the mail that it may have. */
interface Wanted {
  mail: Model;
  role: "mail" | "mx";
  domains: string[] | null;
}

/** Faults in the answers about the maps. */
type Fault = "lost before the server" | "lost" | "cut short" | "repeated";

interface Answer {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

/** The connection between node and server. */
class Line {
  readonly server: Server;
  to = "";
  fault: Fault | undefined;
  /** Answers that reached the node. */
  given: Answer[] = [];

  constructor() {
    this.server = createServer(async (asked, answer) => {
      const aboutMaps = asked.url?.startsWith("/sync/v1/maps") === true;
      const fault = aboutMaps ? this.fault : undefined;
      if (fault === "lost before the server") return void asked.socket.destroy();
      const old = this.given[Math.floor(this.given.length / 2)];
      if (fault === "repeated" && old !== undefined)
        return void answer.writeHead(old.status, old.headers).end(old.body);
      const { status, headers, body } = await this.#forward(
        asked.method,
        asked.url,
        asked.headers,
        await buffer(asked),
      );
      if (fault === "lost" || (fault === "cut short" && body.length < 2)) return void asked.socket.destroy();
      if (fault === "cut short") {
        answer.writeHead(status, headers);
        answer.write(body.subarray(0, body.length / 2), () => asked.socket.destroy());
        return undefined;
      }
      if (aboutMaps && status === 200) this.given.push({ status, headers, body });
      answer.writeHead(status, headers).end(body);
    });
  }

  #forward(method: string | undefined, path = "", headers: object, body: Buffer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const sent = request(
        new URL(path, this.to),
        { method, headers: { ...headers, host: "localhost" }, agent: false },
        (response) => {
          buffer(response).then((whole) => {
            const { "transfer-encoding": _, connection: __, ...rest } = response.headers;
            resolve({
              status: response.statusCode ?? 0,
              headers: rest as Record<string, string>,
              body: whole,
            });
          }, reject);
        },
      );
      sent.on("error", reject);
      sent.end(body);
    });
  }
}

/** The real server, node and files. */
class World {
  readonly line = new Line();
  readonly folder = temporaryFolder();
  readonly database = join(this.folder, "m25-mail.db");
  server!: TestServer;
  node!: Node;
  copies: Array<{ file: string; wanted: Wanted }> = [];
  /** States that the node may serve after a fault: those that it has served before. */
  served: Wanted[] = [];
  putBack = false;
  /** The cases that occurred, so that the test can check that it covered enough. */
  readonly seen: Set<string>;
  /** True for a node that withholds each removal until it is accepted. */
  readonly cautious: boolean;

  constructor(seen: Set<string>, cautious: boolean) {
    this.seen = seen;
    this.cautious = cautious;
  }

  async begin(): Promise<void> {
    await new Promise<void>((resolve) => this.line.server.listen(0, "127.0.0.1", resolve));
    await this.startServer();
    const { body } = await this.server.api("add-node", { name: "pi" });
    const { port } = this.line.server.address() as AddressInfo;
    this.node = nodeOf({ url: new URL(`http://127.0.0.1:${port}/`) });
    this.node.config.thresholds = this.cautious ? { percent: 0, users: 0 } : { percent: 100, users: 1_000 };
    writeFileSync(this.node.config.keyFile, `${body.sync_key}\n`);
  }

  async startServer(): Promise<void> {
    this.server = await startServer({ db: this.database });
    this.line.to = this.server.url;
  }

  async end(): Promise<void> {
    await this.server.close();
    await new Promise((resolve) => {
      this.line.server.close(resolve);
      this.line.server.closeAllConnections();
    });
  }

  async run(call: Call) {
    const { endpoint, input } = await signedIn(this.server.store, call);
    return testRuntime(this.server.store).run(endpoint, input);
  }
}

/** Only these domains have aliases, which lead to mailboxes of others too. */
const ALIASED = ["c.nl", "d.nl"] as const;
const DOMAIN_ALIAS = "e.nl";

/** The aliases that the store has for a node, as the node's file has them. */
async function storedAliases({ server }: World, { role, domains }: Wanted): Promise<unknown[]> {
  const { aliases, domainAliases } = await servedState(server.store);
  const isServed = (domain = "") => domains === null || domains.includes(domain);
  const own = [...aliases.values()]
    .filter(({ alias }) => isServed(alias.split("@")[1]))
    .sort((a, b) => (a.alias < b.alias ? -1 : 1))
    .map((record) => {
      if (role === "mail" || !("targets" in record)) return record;
      return { ...record, targets: record.targets.length > 0 ? ["mailbox node"] : [], send_as: false };
    });
  return [...own, ...[...domainAliases.values()].filter(({ of }) => isServed(of))];
}

/** The node's files, and the expected ones for `wanted`. An mx keeps its former users and senders. */
function filesOf({ node }: World, role: Wanted["role"]): unknown {
  const { out } = node.config;
  const { mailboxes, domains: names } = serves(out);
  const domains = names.filter((name) => name !== DOMAIN_ALIAS);
  if (role === "mx" || !existsSync(join(out, "logins.db"))) return { domains, mailboxes };
  const { users, senders } = serves(out);
  return {
    ...{ domains, mailboxes, senders },
    users: users.map(({ user, password, quota_mb, app_passwords = {} }) => [
      user,
      password,
      quota_mb,
      Object.keys(app_passwords).length,
    ]),
  };
}

function filesFor({ mail, role, domains }: Wanted): unknown {
  const part: Model = new Map([...mail].filter(([name]) => domains === null || domains.includes(name)));
  const users = [...activeUsers(part)].sort(([a], [b]) => (a < b ? -1 : 1));
  const addresses = users.map(([user]) => user);
  const relayed = { domains: [...part.keys()].sort(), mailboxes: addresses };
  if (role === "mx") return relayed;
  return {
    ...relayed,
    senders: addresses,
    users: users.map(([user, { password, quota, apps }]) => [user, fakeHash(password), quota, apps.length]),
  };
}

type Step = fc.AsyncCommand<Wanted, World>;

function step(name: string, run: (wanted: Wanted, world: World) => Promise<void>): Step {
  const done = async (wanted: Wanted, world: World) => {
    await run(wanted, world);
    world.seen.add(name.split(" ")[0] ?? "");
  };
  return { check: () => true, run: done, toString: () => name };
}

async function ask(call: Call, wanted: Wanted, world: World): Promise<void> {
  const outcome = await world.run(call);
  const answer = expected(wanted.mail, call);
  expect(outcome.ok ? "done" : outcome.error.code).toBe(
    answer === "changed" || answer === "unchanged" ? "done" : answer,
  );
}

/** Many users at once, because a node that serves only a few may lose them all. */
const manyUsers: Call[] = [
  { endpoint: "add-domain", input: { domain: "many.nl" } },
  ...Array.from({ length: 8 }, (_, n) => ({
    endpoint: "add-user",
    input: { email: `u${n}@many.nl`, password: "correct horse" },
  })),
];

const oneOfMany = fc.nat(7).map((n) => ({ endpoint: "remove-user", input: { email: `u${n}@many.nl` } }));

const changeCall = fc
  .oneof({ arbitrary: mailCall, weight: 9 }, { arbitrary: oneOfMany, weight: 1 })
  .map((call) => step(`call ${JSON.stringify(call)}`, (wanted, world) => ask(call, wanted, world)));

const alias = fc.constantFrom("@c.nl", "info@c.nl", "info@d.nl");
const target = fc.constantFrom("jan@a.nl", "piet@a.nl", "jan@b.nl", "jan@c.nl", "info@c.nl", "info@e.nl");

/** The node must have what the store has, so the model need not tell which calls are refused. */
const aliasCall = fc
  .oneof(
    fc.record({
      endpoint: fc.constant("set-alias"),
      input: fc.record({ address: alias, targets: fc.array(target, { minLength: 1, maxLength: 3 }) }),
    }),
    fc.record({ endpoint: fc.constant("remove-alias"), input: fc.record({ address: alias }) }),
    fc.record({
      endpoint: fc.constant("set-domain-alias"),
      input: fc.record({ domain: fc.constant(DOMAIN_ALIAS), of: fc.constantFrom(...ALIASED, null) }),
    }),
  )
  .map((call) =>
    step(`alias ${JSON.stringify(call)}`, async (_wanted, world) => {
      const outcome = await world.run(call);
      if (outcome.ok) world.seen.add(call.endpoint);
      else expect(outcome.error.code).toMatch(/^(alias_not_found|user_not_found|invalid_input)$/);
    }),
  );

const poll = step("poll", async (wanted, world) => {
  world.line.fault = undefined;
  let { exitCode, outcome } = await world.node.poll();
  const isRefused = () => outcome?.status === "refused";
  // A history that the node has left is accepted once no other is offered.
  for (let time = 0; time < 10 && world.putBack && isRefused(); time += 1)
    ({ exitCode, outcome } = await world.node.poll());
  if (world.cautious && outcome?.status === "withheld") {
    expect(await world.run(acceptance)).toMatchObject({ ok: true });
    ({ exitCode } = await world.node.poll());
    world.seen.add("withheld");
  }
  expect(exitCode).toBe(0);
  expect(filesOf(world, wanted.role)).toEqual(filesFor(wanted));
  expect(servedAliases(world.node.config.out)).toEqual(await storedAliases(world, wanted));
  world.served.push(structuredClone(wanted));
  // Both sides agree and know it.
  const listed = await testRuntime(world.server.store).must("list-node-details");
  const pi = (listed.nodes as Array<{ name: string }>).find(({ name }) => name === "pi");
  // A restored file has lost reports. The node repeats them within the hour.
  if (!world.putBack) expect(pi).toMatchObject({ reason: null, behind_by: 0 });
});

const acceptance = { endpoint: "accept-removals", input: { name: "pi" } };

/** Also in advance, when nothing is withheld yet. */
const accept = step("accept", async (_wanted, world) => {
  expect(await world.run(acceptance)).toMatchObject({ ok: true });
});

const faults: Fault[] = ["lost before the server", "lost", "cut short", "repeated"];

const faultyPoll = fc.constantFrom(...faults).map((fault) =>
  step(`${fault.replaceAll(" ", "-")} answer`, async (wanted, world) => {
    world.line.fault = fault;
    await world.node.poll();
    if (world.served.length === 0 || world.cautious) return;
    // With nothing to repeat yet, the answer is unchanged.
    world.served.push(structuredClone(wanted));
    const possible = world.served.map((each) => JSON.stringify([each.role, filesFor(each)]));
    const found = (["mail", "mx"] as const).map((role) => JSON.stringify([role, filesOf(world, role)]));
    expect(found.some((files) => possible.includes(files))).toBe(true);
  }),
);

const restart = step("restart", async (_wanted, world) => {
  await world.server.close();
  await world.startServer();
});

const backup = step("backup", async (wanted, world) => {
  const file = join(world.folder, `copy-${world.copies.length}`);
  await backUp(world.database, file);
  world.copies.push({ file, wanted: structuredClone(wanted) });
});

const copyOf = (world: World, which: number) => world.copies[which % Math.max(world.copies.length, 1)];

const restoreCopy = fc.nat(5).map((which) =>
  step("restore", async (wanted, world) => {
    const copy = copyOf(world, which);
    if (copy === undefined) return;
    // In a process of its own: in this one it would block the server, which must end the transaction that it
    // waits for.
    expect(await m25mail(["restore", copy.file, "--yes", "--db", world.database])).toMatchObject({ code: 0 });
    wanted.mail = structuredClone(copy.wanted.mail);
    world.line.given = [];
  }),
);

/** A file copied over the database while the server was stopped, and then changed further. */
const copyOver = fc.tuple(fc.nat(5), fc.array(mailCall, { maxLength: 4 })).map(([which, calls]) =>
  step(`put-back and ${JSON.stringify(calls)}`, async (wanted, world) => {
    const copy = copyOf(world, which);
    if (copy === undefined) return;
    await world.server.close();
    for (const end of ["-wal", "-shm"]) rmSync(`${world.database}${end}`, { force: true });
    copyFileSync(copy.file, world.database);
    Object.assign(wanted, structuredClone(copy.wanted));
    world.putBack = true;
    world.line.given = [];
    await world.startServer();
    for (const call of calls) await ask(call, wanted, world);
  }),
);

const setLimits = fc
  .record({
    role: fc.constantFrom("mail" as const, "mx" as const),
    domains: fc.constantFrom(null, ["a.nl"], ["b.nl"], ["a.nl", "b.nl"], ["a.nl", "c.nl"], ["d.nl"]),
  })
  .map(({ role, domains }) =>
    step(`limits ${role} ${domains}`, async (wanted, world) => {
      if (domains?.some((domain) => !wanted.mail.has(domain))) return;
      const input = { name: "pi", role, domains: domains ?? "all" };
      expect(await world.run({ endpoint: "set-node", input })).toMatchObject({ ok: true });
      Object.assign(wanted, { role, domains });
    }),
  );

test.each([
  ["after each successful poll the node's files equal the model", false],
  ["a node that withholds every removal equals the model once somebody accepts them", true],
])("after any calls, restores, losses and repeats: %s", async (_, cautious) => {
  const seen = new Set<string>();
  const steps = fc.commands(
    [
      changeCall,
      changeCall,
      changeCall,
      changeCall,
      aliasCall,
      aliasCall,
      fc.constant(poll),
      fc.constant(poll),
      faultyPoll,
      fc.constant(restart),
      fc.constant(backup),
      restoreCopy,
      copyOver,
      setLimits,
      fc.constant(accept),
    ],
    { maxCommands: 60, size: "max" },
  );
  await fc.assert(
    fc.asyncProperty(steps, async (commands) => {
      const world = new World(seen, cautious);
      await world.begin();
      try {
        const model: Wanted = { mail: new Map(), role: "mail", domains: null };
        for (const domain of ALIASED) await ask({ endpoint: "add-domain", input: { domain } }, model, world);
        const jan = { email: "jan@c.nl", password: "correct horse" };
        await ask({ endpoint: "add-user", input: jan }, model, world);
        if (cautious) {
          for (const call of manyUsers) await ask(call, model, world);
          await poll.run(model, world);
        }
        await fc.asyncModelRun(() => ({ model, real: world }), commands);
        await poll.run(model, world);
      } finally {
        await world.end();
      }
    }),
    { numRuns: 12 },
  );
  const everything = ["call", "poll", "restart", "backup", "restore", "put-back", "limits"];
  everything.push("set-alias", "set-domain-alias");
  if (cautious) everything.push("withheld");
  expect([...seen]).toEqual(expect.arrayContaining([...everything, "lost", "cut-short", "repeated"]));
});
