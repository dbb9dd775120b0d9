import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { breaking } from "./breaking.ts";
import {
  expectedOf,
  hash,
  nodeOf,
  serves,
  startingNothing,
  startServer,
  stateOf,
  user,
  usersIn,
} from "./support.ts";

const domains = ["example.nl", "new.nl"];
const addresses = ["els@new.nl", "jan@example.nl", "piet@example.nl"];
const relay = stateOf(
  1,
  domains,
  addresses.map((name) => ({ user: name })),
  { role: "mx" },
);
const mail = stateOf(
  2,
  domains,
  addresses.map((name) => user(name)),
);
const relayAgain = { ...relay, revision: 3, cursor: "cursor-3" };

it("an mx that becomes a mail node and an mx again, killed at any step: whoever Postfix knows Dovecot knows", async () => {
  const begin = async () => {
    const server = await startServer(relay);
    const node = nodeOf(server, startingNothing);
    await node.poll();
    server.serves = mail;
    return { server, node };
  };
  const trial = await begin();
  const { host, steps } = breaking(trial.node.host);
  await trial.node.poll({ host });
  for (let step = 1; step <= steps.length; step += 1) {
    const { server, node } = await begin();
    await node.poll({ host: breaking(node.host, { step, kind: { kill: "after" } }).host });
    if (existsSync(join(node.config.out, "senders")))
      expect(usersIn(node.config.out), steps[step - 1]).toHaveLength(3);
    expect((await node.poll()).exitCode).toBe(0);
    expect(serves(node.config.out), steps[step - 1]).toEqual(expectedOf(mail));
    server.serves = relayAgain;
    expect((await node.poll()).exitCode).toBe(0);
    expect(serves(node.config.out)).toEqual(expectedOf(mail));
    const later = [user("jan@example.nl", { password: hash("b") }), user("mia@example.nl")];
    server.serves = stateOf(4, ["example.nl"], later);
    expect((await node.poll()).exitCode).toBe(0);
    expect(serves(node.config.out)).toEqual(expectedOf(server.serves));
  }
});
