import { once } from "node:events";
import { connect } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { plainly, type Text, worded } from "../../../src/mail/text.ts";
import { PolicyServer } from "../../../src/node/sending/policy-server.ts";
import { realServer } from "../real-server.ts";

const JAN = "jan@example.nl";

async function counter(machine: ConstructorParameters<typeof PolicyServer>[0]): Promise<PolicyServer> {
  const policy = new PolicyServer(machine, { hour: 200, day: 1000, first_time: 0 });
  onTestFinished(() => policy.close());
  await policy.listen(0);
  return policy;
}

/** Asks as Postfix does. @returns the action */
async function send({ port = 0 }: PolicyServer, recipients: number, user = JAN): Promise<string> {
  const socket = connect(port, "127.0.0.1").setEncoding("utf8");
  onTestFinished(() => void socket.destroy());
  socket.write(`sasl_username=${user}#1\nrecipient_count=${recipients}\n\n`);
  const [answer] = (await once(socket, "data")) as [string];
  return answer.slice("action=".length).slice(0, 9).trim();
}

test("a mailbox's own limit reaches the node, and the operator sees who has reached one", async () => {
  const { node, must, listed } = await realServer([JAN, "anna@example.nl"]);
  const sending = await counter(node.machine);
  expect((await node.poll({ sending })).exitCode).toBe(0);
  expect(await send(sending, 5)).toBe("DUNNO");
  await must("set-user-limits", { email: JAN, recipients_per_hour: 6 });
  expect((await node.poll({ sending })).exitCode).toBe(0);
  expect([await send(sending, 1), await send(sending, 1)]).toEqual(["DUNNO", "450 4.7.1"]);
  expect(await send(sending, 7, "anna@example.nl")).toBe("DUNNO");
  await expect.poll(listed).toMatchObject({ status: "current", reason: null, hint: null });

  expect((await node.poll({ sending })).exitCode).toBe(0);
  const day = new Date().toISOString().slice(0, 10);
  expect(await listed()).toMatchObject({
    status: "current",
    reason: "sending_limit_reached",
    reason_count: 1,
  });
  expect(worded((await listed()).hint as Text, plainly)).toContain("m25-mail user list-limited");
  expect(await must("list-limited")).toEqual({ mailboxes: [{ email: JAN, limited_on: day }] });
  expect(await must("show-user", { email: JAN })).toMatchObject({ recipients_per_hour: 6, limited_on: day });
  expect(await must("show-user", { email: "anna@example.nl" })).toMatchObject({ limited_on: null });

  // A restart counts anew.
  expect((await node.poll({ sending: await counter(node.machine) })).exitCode).toBe(0);
  expect(await listed()).toMatchObject({ reason: null, reason_count: null, hint: null });
  expect(await must("show-user", { email: JAN })).toMatchObject({ limited_on: day });
});

test("a mailbox is reported for a day", async () => {
  let time = 0;
  const clock = { now: () => time, monotonic: () => time, sleep: async () => undefined };
  const { node } = await realServer([]);
  const policy = await counter({ ...node.machine, clock });
  for (let user = 0; user < 102; user += 1) await send(policy, 201, `u${user}@example.nl`);
  expect(policy.limitedUsers()).toHaveLength(100);
  expect(policy.limitedUsers()).not.toContain("u0@example.nl");
  time = 86_399_999;
  expect(policy.limitedUsers()).toHaveLength(100);
  time += 1;
  expect(policy.limitedUsers()).toEqual([]);
});
