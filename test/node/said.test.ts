import { chmodSync, existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { main } from "../../src/node/cli.ts";
import { dryRun } from "../../src/node/commands/dry-run.ts";
import { hash, stateOf, user } from "./answers.ts";
import { ask } from "./folder.ts";
import { KEY, nodeOf, picture, startServer } from "./support.ts";

const one = stateOf(1, ["example.nl"], [user("jan@example.nl"), user("piet@example.nl", { quota_mb: 5 })]);
const two = stateOf(
  2,
  ["example.nl", "new.nl"],
  [user("jan@example.nl", { password: hash("b") }), user("els@new.nl", { mailbox: "00112233445566ff" })],
);

describe("output", () => {
  it("--dry-run prints the plan and changes nothing, before and after the first poll", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    const dry = { ...node.config, dryRun: true };
    expect(await dryRun(node.machine, dry, { version: "test" })).toBe(0);
    expect(existsSync(node.config.out)).toBe(false);
    await node.poll();
    server.serves = two;
    const before = picture(node.config.out);
    const reports = server.reports.length;
    node.commands.length = 0;
    expect(await dryRun(node.machine, dry, { version: "test" })).toBe(0);
    expect(picture(node.config.out)).toEqual(before);
    expect(node.commands).toEqual([]);
    expect(server.reports).toHaveLength(reports);
    expect(node.printed.join("")).toBe(
      [
        "from no state to revision 1: 1 domain added, 2 addresses added",
        "add domain example.nl",
        "add user jan@example.nl",
        "add user piet@example.nl",
        "from revision 1 to revision 2: 1 domain added, 1 address added, 1 address changed, 1 address removed",
        "add domain new.nl",
        "add user els@new.nl",
        "change user jan@example.nl: new password",
        "remove user piet@example.nl",
        "end open sessions of jan@example.nl",
        "end open sessions of piet@example.nl",
        "",
      ].join("\n"),
    );
  });

  it("counts an alias as an address, and names postmaster@ and abuse@ of every domain", async () => {
    const aliases = ["info@example.nl", "@"].map((alias) => ({
      alias,
      targets: ["jan@example.nl"],
      send_as: false,
    }));
    const server = await startServer(stateOf(1, ["example.nl"], [user("jan@example.nl")], { aliases }));
    const node = nodeOf(server);
    await dryRun(node.machine, node.config, { version: "test" });
    expect(node.printed.join("").split("\n").sort()).toEqual([
      "",
      "add alias info@example.nl",
      "add alias postmaster@ and abuse@ of every domain",
      "add domain example.nl",
      "add user jan@example.nl",
      "from no state to revision 1: 1 domain added, 3 addresses added",
    ]);
    await node.poll();
    expect(node.log[0]).toBe(
      "applied revision 1: 1 domain added, 3 addresses added; domains: 1, addresses: 3",
    );
    node.printed.length = 0;
    const { signal } = new AbortController();
    await main(["status", "--out", node.config.out], {}, node.machine, signal);
    await main(["export", "--out", node.config.out], {}, node.machine, signal);
    expect(node.printed.join("")).toContain("serves      1 domain, 1 mailbox, 2 aliases\n");
    expect(node.printed.join("")).toContain(
      "alias postmaster@ and abuse@ of every domain to jan@example.nl\n",
    );
  });

  it("--dry-run leaves no record, whatever its outcome: status shows only polls", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    const dryRuns = async () => {
      for (const status of [200, 503, 401, 404]) {
        server.serves = status === 200 ? two : (_, response) => void response.writeHead(status).end();
        const argv = ["once", "--server", server.url.href, "--key-file", node.config.keyFile, "--dry-run"];
        await main([...argv, "--out", node.config.out], {}, node.machine, new AbortController().signal);
      }
    };
    await dryRuns();
    expect(existsSync(node.config.out)).toBe(false);
    server.serves = one;
    await node.poll();
    const poll = () => ask(join(node.config.out, "logins.db"), "SELECT value FROM note WHERE name = 'poll'");
    const before = poll();
    await dryRuns();
    expect(poll()).toEqual(before);
  });

  it("neither the key nor a hash is in the log, in a command or in printed output", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    chmodSync(node.config.keyFile, 0o644);
    await node.poll();
    server.serves = (_, response) =>
      response.writeHead(200, { "Content-Type": "application/x-ndjson" }).end(`${KEY}${hash("z")}\n`);
    await node.poll();
    server.serves = two;
    await main(
      [
        "once",
        "--server",
        server.url.href,
        "--key-file",
        node.config.keyFile,
        "--out",
        node.config.out,
        "--dry-run",
      ],
      {},
      node.machine,
      new AbortController().signal,
    );
    const said = [...node.log, ...node.printed, ...node.commands].join("\n");
    expect(said).toContain("not only its owner may read the key file");
    expect(said).not.toContain(KEY);
    expect(said).not.toContain("$2b$");
  });
});
