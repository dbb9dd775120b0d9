import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { type Machine, thisMachine } from "../../../src/machine/machine.ts";
import { PolicyServer } from "../../../src/node/sending/policy-server.ts";
import { KnownRecipients } from "../../../src/node/sending/recipients.ts";
import { outFolder } from "../folder.ts";

async function started(limits = { hour: 2, day: 0, first_time: 0 }, known?: KnownRecipients) {
  const said: string[] = [];
  const machine: Machine = { ...thisMachine, log: (line) => void said.push(line) };
  const server = new PolicyServer(machine, limits, known);
  onTestFinished(() => server.close());
  await server.listen(0);
  const port = server.port ?? 0;
  const opened = async (): Promise<Socket> => {
    const socket = connect(port, "127.0.0.1").setEncoding("utf8");
    onTestFinished(() => void socket.destroy());
    await once(socket, "connect");
    return socket;
  };
  return { said, machine, port, opened };
}

function request(attributes: Readonly<Record<string, string>>): string {
  const lines = Object.entries({ request: "smtpd_access_policy", ...attributes });
  return `${lines.map(([name, value]) => `${name}=${value}\n`).join("")}\n`;
}

const byJan = { sasl_username: "Jan@example.nl#7", recipient_count: "1" };

test("requests in pieces, and several at once, are answered in their order", async () => {
  const { opened } = await started();
  const socket = await opened();
  const text = request(byJan) + request({ ...byJan, recipient_count: "2" }) + request(byJan);
  let answers = "";
  socket.on("data", (piece) => {
    answers += piece;
  });
  for (const piece of text.match(/.{1,7}/gs) ?? []) socket.write(piece);
  await expect.poll(() => answers.split("\n\n")).toHaveLength(4);
  expect(answers.split("\n\n").map((answer) => answer.slice(0, 16))).toEqual([
    "action=DUNNO",
    "action=450 4.7.1",
    "action=DUNNO",
    "",
  ]);
});

test("a new password does not bring a new allowance, and mail without a login has none", async () => {
  const { opened } = await started();
  const socket = await opened();
  for (const [attributes, action] of [
    [{ ...byJan, recipient_count: "2" }, "action=DUNNO"],
    [{ ...byJan, sasl_username: "jan@example.nl#8" }, "action=450"],
    [{ recipient_count: "9" }, "action=DUNNO"],
  ] as const) {
    socket.write(request(attributes));
    const [answer] = await once(socket, "data");
    expect(answer).toMatch(new RegExp(`^${action}`));
  }
});

test("the recipients of messages that begin at once are kept apart, and only new ones count", async () => {
  const folder = outFolder();
  const known = new KnownRecipients({ machine: thisMachine, folder, sqlite: "sqlite3" });
  onTestFinished(() => known.close());
  const { opened } = await started({ hour: 0, day: 0, first_time: 2 }, known);
  const socket = await opened();
  const ask = async (attributes: Record<string, string>) => {
    socket.write(request({ ...byJan, ...attributes }));
    const [answer] = await once(socket, "data");
    return String(answer).slice("action=".length, 16).trim();
  };
  const rcpt = (instance: string, recipient: string) =>
    ask({ protocol_state: "RCPT", recipient_count: "0", instance, recipient });
  const data = (instance: string, recipient_count: string, recipient = "") =>
    ask({ protocol_state: "DATA", instance, recipient_count, recipient });
  for (const recipient of ["a@x.example", "B@x.example"]) expect(await rcpt("1", recipient)).toBe("DUNNO");
  for (const recipient of ["b@X.example", "c@x.example", "d@x.example"]) await rcpt("2", recipient);
  expect(await data("1", "2")).toBe("DUNNO");
  expect(await data("2", "3")).toBe("450 4.7.1");
  for (const recipient of ["a@x.example", "b@x.example"]) await rcpt("3", recipient);
  expect(await data("3", "2")).toBe("DUNNO");
  // Where Postfix does not tell the recipients at RCPT, it tells a single one at DATA.
  expect(await data("4", "1", "e@x.example")).toBe("450 4.7.1");
  expect(await data("5", "3")).toBe("DUNNO");
});

test("a request without an end is cut off, and others are answered on", async () => {
  const { opened } = await started();
  const endless = await opened();
  const closed = once(endless, "close");
  endless.on("error", () => {});
  endless.write("x".repeat(70_000));
  await closed;
  const socket = await opened();
  socket.write(request(byJan));
  expect(await once(socket, "data")).toEqual(["action=DUNNO\n\n"]);
});

test("a port that is not free is a warning, once, and is tried again", async () => {
  const { port, machine, said } = await started();
  const second = new PolicyServer(machine, { hour: 1, day: 1, first_time: 0 });
  onTestFinished(() => second.close());
  await second.listen(port);
  await second.listen(port);
  expect(said).toEqual([expect.stringMatching(/^warning: users may send without limits, because port \d+/)]);
  await second.listen(0);
  expect(second.port).toBeDefined();
});
