import { expect } from "vitest";
import { startServer } from "../../support/server.ts";
import { failingAt } from "../joining.ts";
import { filesOf, newNode, withTools } from "./planted.ts";

withTools("after a fault at any change of a file, the next setup goes on", async () => {
  const server = await startServer();
  const whole = await newNode(server, "whole");
  await whole.run();
  for (let n = 1, failed = true; failed; n++) {
    const { host, run } = await newNode(server, `node-${n}`);
    failed = await failingAt(n, async () =>
      run().then(
        () => false,
        () => true,
      ),
    );
    const before = host.started.length;
    await run();
    expect(filesOf(host), `fault ${n}`).toEqual(filesOf(whole.host));
    expect(host.read("/etc/ssl/m25-mail/fullchain.pem")).toContain("BEGIN CERTIFICATE");
    // Whatever came before the fault, the daemons have read the last files.
    if (failed)
      expect(host.started.slice(before), `fault ${n}`).toEqual([
        "m25-mail-node",
        "postfix again",
        "dovecot again",
      ]);
  }
});
