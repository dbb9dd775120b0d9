import { main } from "./agent/cli.ts";
import { thisMachine } from "./agent/this-machine.ts";

const stop = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stop.abort());

process.exitCode = await main(process.argv.slice(2), process.env, thisMachine, stop.signal);
