/** Commands whose answers the pages describe. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { http } from "../support/http.ts";
import { m25mail } from "../support/program.ts";
import { command, ROOT, textOf } from "./pages.ts";
import { shell } from "./shell.ts";

test("the commands that try REST and MCP by hand are answered as the page says", async () => {
  const { database, run } = await shell();
  await m25mail(["call", "add-domain", "--domain", "butcher.example", "--db", database]);
  const byHand = command("docs/assistants.md#by-hand").replaceAll(/^curl/gm, "echo; curl");
  const [domains = "", added = "", offered = "", users = ""] = (await run(byHand)).trim().split("\n");
  expect(JSON.parse(domains)).toMatchObject({ total: 1 });
  expect(JSON.parse(added)).toMatchObject({ domain: "baker.example" });
  expect(JSON.parse(offered).result.tools).toHaveLength(9);
  expect(JSON.parse(users).result.structuredContent).toMatchObject({ users: [], total: 0 });
});

test("the commands that give an assistant one domain do what the page says", async () => {
  const { folder, database, url, run } = await shell();
  await m25mail(["call", "add-domain", "--domain", "butcher.example", "--db", database]);
  const heading = "docs/tokens-and-domains.md#give-an-assistant-only-one-domain";

  expect(await run(command(heading))).toMatch(/bakery +read,write +bakery\.example /);
  const used = await run(command(`${heading} 2`));
  expect(used).toContain('"domain":"bakery.example"');
  expect(used).toContain('"revision":null');
  expect(used).toContain('"total":1');
  expect(used).not.toContain("butcher");
  const authorization = `Bearer ${readFileSync(join(folder, "bakery.token"), "utf8").trim()}`;
  const status = async () => (await http(`${url}/api/list-users`, { headers: { authorization } })).status;
  expect(await status()).toBe(200);
  await run(command(`${heading} 3`));
  expect(await status()).toBe(401);
});

test.each(["README.md", "docs/assistants.md"])(
  "the JSON to paste from %s is valid, and the file that it starts exists",
  (page) => {
    const pasted = [...textOf(page).matchAll(/`(\{ "(?:mcpServers|servers)".*?\})`/g)].map(
      ([, text = ""]) => text,
    );
    expect(pasted.length).toBeGreaterThan(1);
    for (const text of pasted) expect(() => JSON.parse(text), text).not.toThrow();
    const started = [...textOf(page).matchAll(/\/opt\/m25-mail\/([\w./-]+)/g)].map(([, file = ""]) => file);
    expect(started.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
  },
);
