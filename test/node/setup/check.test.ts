import { Resolver } from "node:dns/promises";
import { existsSync } from "node:fs";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Host, thisHost } from "../../../src/machine/host.ts";
import { type Machine, thisMachine } from "../../../src/machine/machine.ts";
import { addressesOf } from "../../../src/machine/public-name.ts";
import { checkClock, checkQueue, checkRoom, checkServices } from "../../../src/node/setup/check.ts";
import { checkBlocklist, checkDns, checkMailOut } from "../../../src/node/setup/outside.ts";
import { NSD, ownAddress, startNameServer } from "../../support/name-server.ts";

const NAME = "mail.example.nl";
const ZONE = `${NAME}. A 192.0.2.25
${NAME}. AAAA 2001:db8::25
5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR ${NAME}.
25.2.0.192.in-addr.arpa. PTR ${NAME}.
home.example.nl. A 192.168.1.2
wrong.example.nl. A 192.0.2.26
26.2.0.192.in-addr.arpa. PTR pool-26.isp.test.
bare.example.nl. A 192.0.2.27
27.2.0.192.zen.spamhaus.org. A 127.0.0.4
28.2.0.192.zen.spamhaus.org. A 127.255.255.254
`;

describe.skipIf(!existsSync(NSD))("what others see of the node", () => {
  async function resolverOf(zone: string): Promise<Resolver> {
    const address = ownAddress();
    onTestFinished(await startNameServer(address, { ".": zone }));
    const resolver = new Resolver({ timeout: 3_000, tries: 2 });
    resolver.setServers([address]);
    return resolver;
  }

  test("its name in DNS is ok only with a public address that has the same name", async () => {
    const resolver = await resolverOf(ZONE);
    const found = async (name: string) => checkDns(resolver, name, await addressesOf(resolver, name));
    expect(await found(NAME)).toMatchObject({
      state: "ok",
      found: "mail.example.nl is 192.0.2.25, 2001:db8::25, and back",
    });
    expect(await found("home.example.nl")).toMatchObject({
      state: "not_ok",
      todo: expect.stringContaining("A record"),
    });
    expect(await found("none.example.nl")).toMatchObject({ state: "not_ok" });
    expect(await found("wrong.example.nl")).toMatchObject({
      state: "not_ok",
      found: "PTR of 192.0.2.26 is pool-26.isp.test, not wrong.example.nl",
    });
    expect(await found("bare.example.nl")).toMatchObject({
      state: "not_ok",
      found: expect.stringContaining("is missing"),
    });
  });

  test("its address on a blocklist is not ok; a list that does not answer its resolver tells nothing", async () => {
    const resolver = await resolverOf(ZONE);
    expect(await checkBlocklist(resolver, ["192.0.2.25"])).toMatchObject({ state: "ok" });
    expect(await checkBlocklist(resolver, ["192.0.2.27"])).toMatchObject({ state: "not_ok" });
    expect(await checkBlocklist(resolver, ["192.0.2.28"])).toMatchObject({ state: "unknown" });
    expect(await checkBlocklist(resolver, ["192.168.1.2"])).toMatchObject({ state: "unknown" });
  });

  test("without DNS everything outside is unknown, never missing", async () => {
    const resolver = new Resolver({ timeout: 100, tries: 1 });
    resolver.setServers([ownAddress()]);
    const addresses = await addressesOf(resolver, NAME);
    expect(await checkDns(resolver, NAME, addresses)).toMatchObject({ state: "unknown" });
    expect(await checkDns(resolver, NAME, ["192.0.2.25"])).toMatchObject({ state: "unknown" });
    expect(await checkBlocklist(resolver, ["192.0.2.25"])).toMatchObject({ state: "unknown" });
    expect(await checkMailOut(resolver)).toMatchObject({ state: "unknown" });
  });

  test("a closed port 25 of every other server means that mail to others waits", async () => {
    // Nothing listens at this address.
    const resolver = await resolverOf(`gmail.com. MX 5 ${ownAddress()}.`);
    expect(await checkMailOut(resolver)).toMatchObject({
      state: "not_ok",
      todo: expect.stringContaining("provider"),
    });
  });
});

/** The machine with the output of programs that a test's machine lacks. */
function hostWith(outputs: Record<string, { code?: number; stdout?: string }>): Host {
  const run: Machine["run"] = async (command) => ({ code: 0, stdout: "", stderr: "", ...outputs[command] });
  return { ...thisHost, machine: { ...thisMachine, run } };
}

test("little room on the disk is not ok", () => {
  expect(checkRoom({ folder: "/var/vmail", free: 2 ** 30 })).toMatchObject({ state: "ok" });
  expect(checkRoom({ folder: "/var/vmail", free: 2 ** 28 })).toMatchObject({
    state: "not_ok",
    found: "256 MB free for /var/vmail",
  });
});

test("a long queue is not ok", async () => {
  const waiting = (count: number) =>
    checkQueue(hostWith({ postqueue: { stdout: '{"queue_name":"deferred"}\n'.repeat(count) } }));
  expect(await waiting(0)).toMatchObject({ state: "ok", found: "0 mails waiting" });
  expect(await waiting(499)).toMatchObject({ state: "ok" });
  expect(await waiting(500)).toMatchObject({ state: "not_ok" });
  expect(await checkQueue(hostWith({ postqueue: { code: 69 } }))).toMatchObject({ state: "unknown" });
});

test("a clock that nothing sets is not ok; a container's is its host's", async () => {
  const clock = (isSet: string, container: number) =>
    checkClock(
      hostWith({ timedatectl: { stdout: `${isSet}\n` }, "systemd-detect-virt": { code: container } }),
    );
  expect(await clock("yes", 1)).toMatchObject({ state: "ok" });
  expect(await clock("no", 1)).toMatchObject({ state: "not_ok" });
  expect(await clock("", 1)).toMatchObject({ state: "unknown" });
  expect(await clock("no", 0)).toMatchObject({ state: "unknown" });
});

test("a service that does not run is not ok; the timer may poll in place of the service", async () => {
  const services = (running: readonly string[], signs = false, filters = false) =>
    checkServices(
      { ...thisHost, units: { ...thisHost.units, isActive: async (unit) => running.includes(unit) } },
      { isMx: false, signs, filters },
    );
  const daemons = ["postfix", "dovecot"];
  expect(await services(["m25-mail-node", ...daemons])).toMatchObject({ state: "ok" });
  expect(await services(["m25-mail-node-once.timer", ...daemons])).toMatchObject({ state: "ok" });
  expect(await services(daemons)).toMatchObject({ state: "not_ok" });
  expect(await services(["m25-mail-node", "postfix"])).toMatchObject({ found: "dovecot not running" });
  expect(await services(["m25-mail-node", ...daemons], true)).toMatchObject({
    found: "opendkim not running",
  });
  expect(await services(["m25-mail-node", ...daemons])).toMatchObject({
    found: expect.stringContaining("no filter"),
  });
  expect(await services(["m25-mail-node", ...daemons], false, true)).toMatchObject({
    found: "rspamd not running",
  });
});
