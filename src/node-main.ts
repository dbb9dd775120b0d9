import { serviceSettings, variablesIn } from "./command-line/environment-file.ts";
import { thisMachine } from "./machine/machine.ts";
import { main } from "./node/cli.ts";
import { exitCodes, explain } from "./node/faults.ts";

const stop = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stop.abort());

let unwritten: NodeJS.ErrnoException | undefined;
process.stdout.on("error", (error) => {
  unwritten ??= error;
});

process.exitCode = await main(
  process.argv.slice(2),
  { ...variablesIn(serviceSettings.node), ...process.env },
  thisMachine,
  stop.signal,
);

// Wait until the last output is written.
await new Promise<void>((resolve) => process.stdout.write("", () => resolve()));
if (unwritten !== undefined && unwritten.code !== "EPIPE") {
  thisMachine.log(`the output could not be written: ${explain(unwritten)}`);
  process.exitCode = exitCodes.output;
}
