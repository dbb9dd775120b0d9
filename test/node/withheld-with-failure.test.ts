/** A node that fails for another reason tells the real server what it withholds. */
import { expect, test } from "vitest";
import { plainly, type Text, worded } from "../../src/mail/text.ts";
import { realServer } from "./real-server.ts";

const users = Array.from({ length: 16 }, (_, index) => `u${index}@example.nl`);

test("a node that refuses the server's answer still says which removals it withholds, and the acceptance counts them", async () => {
  const { node, must, listed, proxy, server } = await realServer(users);
  for (const name of ["info", "sales"])
    await must("set-alias", { address: `${name}@example.nl`, targets: [users[0]] });
  await must("set-domain-alias", { domain: "further.nl", of: "example.nl" });
  expect((await node.poll()).exitCode).toBe(0);
  await expect.poll(listed).toMatchObject({ withheld: 0, hint: null });

  for (const email of users.slice(2)) await must("remove-user", { email });
  for (const name of ["info", "sales"]) await must("remove-alias", { address: `${name}@example.nl` });
  await must("set-domain-alias", { domain: "further.nl", of: null });
  expect((await node.poll()).exitCode).toBe(65);
  await expect.poll(listed).toMatchObject({ reason: "removals_withheld", withheld: 17 });

  proxy.meddle = (_, response) => response.writeHead(200, { "Content-Type": "text/html" }).end("<p>Log in");
  expect((await node.poll()).exitCode).toBe(65);
  await expect.poll(listed).toMatchObject({ status: "failing", reason: "not_maps", withheld: 17 });
  const { hint } = await listed();
  expect(worded(hint as Text, plainly)).toMatch(/m25-mail-node status.* m25-mail node accept pi;/);
  const kinds = { users: 14, aliases: 2, domain_aliases: 1 };
  expect(await must("list-withheld")).toEqual({ nodes: [{ name: "pi", ...kinds }], total: 1 });
  const metrics = await fetch(`${server.url}/metrics`, {
    headers: { authorization: `Bearer ${server.token}` },
  });
  expect(await metrics.text()).toContain('m25_mail_withheld_removals{kind="users"} 14\n');
  expect((await must("list-node-details")).nodes).toMatchObject([{ name: "pi", withheld: 17 }]);
  const { note } = await must("remove-user", { email: "u1@example.nl" });
  expect(worded(note as Text, plainly)).toMatch(/ removals wait there until the operator accepts them /);
  expect(await must("accept-removals", { name: "pi" })).toMatchObject({
    withheld: 17,
    takes_effect: "at once on a node that waits for changes, else at its next poll",
  });

  proxy.meddle = undefined;
  expect((await node.poll()).exitCode).toBe(0);
  await expect.poll(listed).toMatchObject({ status: "current", withheld: 0, hint: null });
});
