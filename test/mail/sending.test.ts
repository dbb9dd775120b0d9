/** The limits of a mailbox, in the real Postfix with the shipped configuration. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Machine, thisMachine } from "../../src/machine/machine.ts";
import { PolicyServer } from "../../src/node/sending/policy-server.ts";
import { KnownRecipients } from "../../src/node/sending/recipients.ts";
import { type MailLab, mailDaemons, startMailLab } from "./lab.ts";
import { ANNA, JAN, STRANGER, USERS } from "./people.ts";
import { TestNode } from "./replica.ts";
import { SmtpClient, type SmtpReply, words } from "./smtp.ts";

const daemons = mailDaemons();

describe.skipIf(!daemons.available)("a mailbox that writes to many", () => {
  const said: string[] = [];
  const machine: Machine = { ...thisMachine, log: (line) => void said.push(line) };
  let port = 0;
  let policy: PolicyServer;
  let folders: TestNode;
  let lab: MailLab;

  beforeAll(async () => {
    folders = await TestNode.serving(USERS);
    const first = new PolicyServer(machine, { hour: 1, day: 1, first_time: 0 });
    await first.listen(0);
    port = first.port ?? 0;
    first.close();
    lab = await startMailLab({ out: folders.out, mailRoot: folders.mailRoot, policyPort: port });
  });

  afterAll(async () => {
    await lab?.stop();
    await folders?.remove();
  });

  beforeEach(async () => {
    said.length = 0;
    policy = new PolicyServer(machine, { hour: 200, day: 1000, first_time: 0 });
    await policy.listen(port);
  });

  afterEach(() => policy.close());

  /** A user's connection. */
  async function connected({ address, password } = JAN): Promise<SmtpClient> {
    const client = await SmtpClient.open({ port: lab.ports.submission });
    await client.ehlo();
    expect((await client.authPlain(address, password)).code).toBe(235);
    return client;
  }

  /** Begins a message and ends it by `finish`. @returns the last reply */
  async function send(
    client: SmtpClient,
    count: number,
    { from = JAN.address, finish = (one: SmtpClient) => one.data("Subject: offer\n\nBuy.\n") } = {},
  ): Promise<SmtpReply> {
    await client.mailFrom(from);
    for (let number = 0; number < count; number += 1)
      expect((await client.rcptTo(`${number}.${STRANGER}`)).code).toBe(250);
    const reply = await finish(client);
    await client.command("RSET");
    return reply;
  }

  test("is stopped at its limit, told how long to wait, and named in the log once", async () => {
    const client = await connected();
    const replies: SmtpReply[] = [];
    for (let mail = 0; mail < 25; mail += 1) replies.push(await send(client, 10));
    const accepted = replies.filter(({ code }) => code === 250);
    expect(accepted).toHaveLength(20);
    expect(words(replies.at(-1) as SmtpReply)).toMatch(
      /^450 4\.7\.1 .*at most 200 recipients an hour: try again in [123] minutes?$/,
    );
    expect(said).toEqual([
      `${JAN.address} has reached its limit of 200 recipients an hour: its password may be stolen`,
    ]);
    const other = await connected(ANNA);
    expect((await send(other, 10, { from: ANNA.address })).code).toBe(250);
    client.close();
    other.close();
  });

  test("by many connections at once has the same limit to the recipient", async () => {
    const clients = await Promise.all(Array.from({ length: 12 }, () => connected()));
    const replies = await Promise.all(clients.map((client) => send(client, 50)));
    expect(replies.filter(({ code }) => code === 250)).toHaveLength(4);
    expect(replies.filter(({ code }) => code === 450)).toHaveLength(8);
    for (const client of clients) client.close();
  });

  test("in one message, with more recipients than an hour has, is refused for good", async () => {
    const client = await connected();
    expect(words(await send(client, 201))).toMatch(
      /^550 5\.7\.1 .*at most 200 recipients an hour, and this message has 201$/,
    );
    expect((await send(client, 200)).code).toBe(250);
    client.close();
  });

  test("is stopped at its limit of recipients to whom it has not written before, and goes on with known ones", async () => {
    policy.close();
    const known = new KnownRecipients({ machine, folder: folders.out, sqlite: "sqlite3" });
    policy = new PolicyServer(machine, { hour: 0, day: 0, first_time: 30 }, known);
    await policy.listen(port);
    const client = await connected();
    expect((await send(client, 30)).code).toBe(250);
    expect((await send(client, 30)).code).toBe(250);
    expect(words(await send(client, 31))).toMatch(
      /^450 4\.7\.1 .*at most 30 recipients a day to whom you have not written before: try again in 4[78] minutes$/,
    );
    expect((await send(client, 30)).code).toBe(250);
    client.close();
    await known.close();
  });

  test("by BDAT in place of DATA has the same limit", async () => {
    const client = await connected();
    const finish = (one: SmtpClient) => one.command("BDAT 6 LAST\r\nx: y");
    const replies: SmtpReply[] = [];
    for (let mail = 0; mail < 5; mail += 1) replies.push(await send(client, 50, { finish }));
    expect(replies.map(({ code }) => code)).toEqual([250, 250, 250, 250, 450]);
    client.close();
  });

  test("writes without a limit while nobody counts", async () => {
    policy.close();
    const client = await connected();
    expect((await send(client, 201)).code).toBe(250);
    client.close();
  });
});
