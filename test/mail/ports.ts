/** Finds ports for daemons that need them beforehand. */
import { createServer } from "node:net";

/** If Postfix's master ends before its log has the reason, postfix-script says only this. */
const TAKEN = /address already in use|mail system startup failed/i;

/**
 * Runs `start` with free ports from the system. If another program takes one before the daemon does, it tries
 * again with new ports, up to three times.
 */
export async function onFreePorts<Name extends string, Started>(
  names: readonly Name[],
  start: (ports: Record<Name, number>) => Promise<Started>,
): Promise<Started> {
  for (let attempt = 1; ; attempt += 1) {
    const ports = await freePorts(names);
    try {
      return await start(ports);
    } catch (error) {
      if (attempt === 3 || !TAKEN.test(String(error))) throw error;
    }
  }
}

async function freePorts<Name extends string>(names: readonly Name[]): Promise<Record<Name, number>> {
  // Held open together, so that no two are the same.
  const held = await Promise.all(
    names.map(async (name) => {
      const server = createServer();
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject).listen(0, "127.0.0.1", resolve);
      });
      const address = server.address();
      if (address === null || typeof address === "string") throw new Error("no port");
      return { name, server, port: address.port };
    }),
  );
  await Promise.all(held.map(({ server }) => new Promise((resolve) => server.close(resolve))));
  return Object.fromEntries(held.map(({ name, port }) => [name, port])) as Record<Name, number>;
}
