import { join } from "node:path";
import { expect, test } from "vitest";
import { openStore } from "../../db/sqlite/store.ts";
import { ENTRY, m25mail } from "../support/program.ts";
import { PASSWORD, temporaryFolder, testRuntime } from "../support/store.ts";

const FULL = ["bash", "-c", 'exec "$@" >/dev/full', "bash", process.execPath, ENTRY] as const;
const CLOSED = ["bash", "-c", 'exec "$@" >&-', "bash", process.execPath, ENTRY] as const;
const HUNG_UP = ["bash", "-o", "pipefail", "-c", '"$@" | true', "bash", process.execPath, ENTRY] as const;

const environment = { M25_MAIL_PUBLIC_URL: "https://mail-admin.example.nl" };

async function database(): Promise<string> {
  const file = join(temporaryFolder(), "m25-mail.db");
  const store = openStore(file, { create: true });
  const { must } = testRuntime(store);
  await must("add-domain", { domain: "example.nl" });
  await must("add-user", { email: "jan@example.nl", password: PASSWORD });
  await must("add-node", { name: "pi" });
  await must("create-token", { name: "shop", scopes: ["read"] });
  await store.close();
  return file;
}

test.each([
  ["token create bakery", "m25-mail token revoke"],
  ["call add-node --name pi-2", "m25-mail node rotate-key"],
  ["node rotate-key pi", "m25-mail node rotate-key"],
  ["call invite-user --email piet@example.nl", "m25-mail call create-password-link"],
  ["call create-password-link --email jan@example.nl --kind reset", "m25-mail call create-password-link"],
])(
  "a secret that %s cannot print is reported as lost, with the command that ends it",
  async (command, advice) => {
    for (const shell of [FULL, CLOSED, HUNG_UP]) {
      const args = [...command.split(" "), "--db", await database()];
      const { code, stderr } = await m25mail(args, { command: shell, environment });
      expect({ code, stderr }).toEqual({ code: 74, stderr: expect.stringContaining(advice) });
    }
  },
);

test("each command reports that its output cannot be written, whether it reads or changes", async () => {
  const db = await database();
  const commands = `--help
    --version
    call list-domains
    call list-domains --json
    domain add example.org
    token list
    token revoke shop
    node list
    node set pi --role mx
    node accept pi
    user show jan@example.nl
    user set jan@example.nl --quota-mb 2048
    user list-inactive
    user list-weak
    alias list-waiting
    alias approved-domains
    alias postmaster
    oauth client list
    oauth grants list
    audit
    backup ${db}-copy`.split(/\n\s*/);
  for (const command of commands) {
    const words = command.split(" ");
    const args = command.startsWith("--") ? words : [...words, "--db", db];
    const { code, stderr } = await m25mail(args, { command: FULL });
    expect({ command, code, stderr }).toEqual({
      command,
      code: 74,
      stderr: expect.stringMatching(/^The output could not be written \(ENOSPC\)\.$/m),
    });
  }
});

test("a list whose reader has closed the pipe exits with 0", async () => {
  const args = ["call", "list-domains", "--db", await database()];
  expect(await m25mail(args, { command: HUNG_UP })).toMatchObject({ code: 0, stderr: "" });
});

test.each(["--help", "--version"])(
  "m25-mail-node %s reports that its output cannot be written",
  async (flag) => {
    const node = [...FULL.slice(0, -1), join(ENTRY, "../m25-mail-node.mjs")] as unknown as typeof FULL;
    const { code, stderr } = await m25mail([flag], { command: node });
    expect({ code, stderr }).toEqual({ code: 74, stderr: expect.stringContaining("could not be written") });
  },
);
