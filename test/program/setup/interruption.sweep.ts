/** Ends the server's set-up at each of its steps: each file that takes its place, each command, each start of a service. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../support/store.ts";
import { filesOf, newMachine } from "./planted.ts";

/** The server's port differs from machine to machine. */
function filesWithoutPort(host: Parameters<typeof filesOf>[0]): Record<string, string> {
  const entries = Object.entries(filesOf(host));
  return Object.fromEntries(entries.map(([path, text]) => [path, text.replace(/M25_MAIL_PORT=\d+/, "")]));
}

test.each([
  { how: "kill", proxy: "nginx", flags: ["--self-signed"], every: 1 },
  { how: "Ctrl-C", proxy: "nginx", flags: ["--self-signed"], every: 4 }, // it has the same steps
  { how: "kill", proxy: "caddy", flags: [], every: 4 },
])("after a $how at any step behind $proxy, the next setup goes on", async ({ how, proxy, flags, every }) => {
  const passwordFile = join(temporaryFolder(), "password");
  writeFileSync(passwordFile, "a passphrase of the operator\n");
  const argv = [...flags, "--domain", "example.nl", "--password-file", passwordFile];
  const whole = await newMachine(proxy);
  await whole.setUp(argv);
  let [step, isComplete] = [1, false];
  for (; !isComplete; step += every) {
    const { host, power, done, server, setUp } = await newMachine(proxy);
    if (how === "kill") power.endAt(step);
    const signal = how === "kill" ? undefined : power.interruptAt(step);
    isComplete = await power.during(() => setUp(argv, signal));
    power.restore();
    const before = done.length;
    await setUp(argv);
    expect(filesWithoutPort(host), `step ${step}`).toEqual(filesWithoutPort(whole.host));
    // Whatever came before, the proxy has read the last files.
    if (!isComplete) expect(done.slice(before), `step ${step}`).toContain(`reload ${proxy}`);
    expect((await server.api("list-domains")).body.domains).toMatchObject([{ domain: "example.nl" }]);
    expect(await server.store.read((tables) => tables.operator.passwordHash())).toBeDefined();
    await server.close();
  }
  expect(step).toBeGreaterThan(20);
});
