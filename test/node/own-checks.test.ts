import { expect, test } from "vitest";
import { plainly, type Text, worded } from "../../src/mail/text.ts";
import { noteChecks } from "../../src/node/own-checks.ts";
import { realServer } from "./real-server.ts";

test("a node tells the server which of its own checks are not ok, and when they are ok again", async () => {
  const { node, listed } = await realServer(["jan@example.nl"]);
  expect((await node.poll()).exitCode).toBe(0);
  await expect.poll(listed).toMatchObject({ status: "current", failed_checks: null, hint: null });

  await noteChecks(node.config.out, ["certificate", "disk"], Date.now());
  expect((await node.poll()).exitCode).toBe(0);
  await expect.poll(listed).toMatchObject({ status: "current", failed_checks: ["certificate", "disk"] });
  expect(worded((await listed()).hint as Text, plainly)).toBe(
    "The node's own check found: its certificate is missing, wrong or about to end; its disk is almost full. " +
      "m25-mail-node check on the node says what to do.",
  );

  await noteChecks(node.config.out, [], Date.now());
  expect((await node.poll()).exitCode).toBe(0);
  await expect.poll(listed).toMatchObject({ failed_checks: [], hint: null });

  // A timer that has stopped tells nothing.
  await noteChecks(node.config.out, ["disk"], Date.now() - 2 * 86_400_000);
  expect((await node.poll()).exitCode).toBe(0);
  await expect.poll(listed).toMatchObject({ failed_checks: null });
});
