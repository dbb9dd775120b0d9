/** Ports for daemons that must be told theirs beforehand. */
import { createServer } from "node:net";

/** Postfix's master may end before its own log has taken down why; postfix-script then says this alone. */
const TAKEN = /address already in use|mail system startup failed/i;

/**
 * Runs `start` with ports that the system names as free. Another program may take one before the daemon does, which then
 * says so and ends: up to three attempts, each with new ports.
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
