import { registerHooks } from "node:module";
import { PassThrough, Writable } from "node:stream";
import { pathToFileURL } from "node:url";

/** A command line of the program, with all that it finds around it. */
export interface Command {
  words: readonly string[];
  environment: Record<string, string>;
  /** All of standard input. */
  input: string;
}

export interface Finished {
  code: number | null;
  stdout: string;
  stderr: string;
}

const entry = pathToFileURL(process.argv[2] ?? "").href;
let runs = 0;

// A module runs anew under a new query. What the entry imports gets its query too; all else stays loaded.
registerHooks({
  resolve(specifier, context, next) {
    const found = next(specifier, context);
    const { parentURL = "" } = context;
    if (!parentURL.startsWith(`${entry}?`) || !found.url.startsWith("file:")) return found;
    return { ...found, url: `${found.url}${new URL(parentURL).search}` };
  },
});

function collector(): { stream: Writable; text: () => string } {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      chunks.push(chunk);
      done();
    },
  });
  return { stream, text: () => Buffer.concat(chunks).toString("utf8") };
}

async function run({ words, environment, input }: Command): Promise<Finished> {
  const [stdout, stderr] = [collector(), collector()];
  const stdin = new PassThrough();
  stdin.end(input);
  process.argv.splice(1, Number.POSITIVE_INFINITY, entry, ...words);
  process.env = environment;
  process.exitCode = undefined;
  for (const [name, value] of Object.entries({ stdin, stdout: stdout.stream, stderr: stderr.stream }))
    Object.defineProperty(process, name, { value, configurable: true });
  runs += 1;
  await import(`${entry}?run=${runs}`);
  for (const signal of ["SIGINT", "SIGTERM"]) process.removeAllListeners(signal);
  return { code: Number(process.exitCode ?? 0), stdout: stdout.text(), stderr: stderr.text() };
}

process.on("message", (command: Command) => {
  void run(command).then((finished) => process.send?.(finished));
});
// Handles that a command leaves open must not keep the process.
process.on("disconnect", () => process.exit());
