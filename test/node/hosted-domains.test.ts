/** The list of hosted domains that the node writes for rspamd. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { realServer } from "./real-server.ts";

/** A group of no meaning on this machine. */
const FILTER = 60_124;

const filtering = (isThere: () => boolean) => ({
  root: true,
  group: async (name: string) => (name === "_rspamd" && isThere() ? FILTER : undefined),
});

test.skipIf(process.geteuid?.() !== 0)(
  "rspamd gets the names of all hosted domains and their aliases, and nobody else does",
  async () => {
    const { node, must } = await realServer(["jan@example.nl"], { parts: filtering(() => true) });
    const path = join(node.config.out, "hosted-domains");
    await node.poll();
    expect(readFileSync(path, "utf8")).toBe("example.nl\n");
    expect(statSync(path)).toMatchObject({ mode: 0o100640, uid: 0, gid: FILTER });

    await must("add-domain", { domain: "münchen.example" });
    await must("set-domain-alias", { domain: "example.org", of: "example.nl" });
    await node.poll();
    expect(readFileSync(path, "utf8").split("\n").sort()).toEqual(
      ["", "example.nl", "example.org", "münchen.example", "xn--mnchen-3ya.example"].sort(),
    );

    await must("remove-domain", { domain: "münchen.example" });
    await node.poll();
    expect(readFileSync(path, "utf8")).toBe("example.nl\nexample.org\n");
  },
);

test.skipIf(process.geteuid?.() !== 0)("a node gets the list when rspamd is installed later", async () => {
  let isThere = false;
  const { node } = await realServer(["jan@example.nl"], { parts: filtering(() => isThere) });
  const path = join(node.config.out, "hosted-domains");
  await node.poll();
  expect(existsSync(path)).toBe(false);
  isThere = true;
  await node.poll();
  expect(readFileSync(path, "utf8")).toBe("example.nl\n");
});
