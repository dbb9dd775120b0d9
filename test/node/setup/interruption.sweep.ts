/** Ends setup at each of its steps: each file that takes its place, each command, each start of a service. */
import { expect, test } from "vitest";
import { startServer, type TestServer } from "../../support/server.ts";
import { never } from "../joining.ts";
import { filesOf, newNode, OPTIONAL, withTools } from "./planted.ts";

const canSign = withTools === test && process.geteuid?.() === 0;

async function newHost(server: TestServer, name: string) {
  const node = await newNode(server, name);
  for (const program of OPTIONAL) node.host.installed.add(program);
  return node;
}

test.skipIf(!canSign).each([
  { how: "kill", every: 1 },
  { how: "Ctrl-C", every: 4 }, // it has the same steps
])("after a $how at any step, the next setup goes on", async ({ how, every }) => {
  const server = await startServer();
  const whole = await newHost(server, "whole");
  await whole.run();
  for (let step = 1, isComplete = false; !isComplete; step += every) {
    const { host, run, runUntil } = await newHost(server, `node-${step}`);
    if (how === "kill") host.power.endAt(step);
    const signal = how === "kill" ? never : host.power.interruptAt(step);
    isComplete = await host.power.during(() => runUntil(signal));
    host.power.restore();
    const before = host.started.length;
    await run();
    expect(filesOf(host), `step ${step}`).toEqual(filesOf(whole.host));
    expect(host.read("/etc/ssl/m25-mail/fullchain.pem")).toContain("BEGIN CERTIFICATE");
    // Whatever came before, the daemons have read the last files.
    if (!isComplete) expect(host.started.slice(before), `step ${step}`).toEqual(whole.host.started);
  }
});
