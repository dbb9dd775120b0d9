import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Finished } from "../../../support/command-process.ts";
import { type Running, startM25mail } from "../../../support/program.ts";
import { temporaryFolder } from "../../../support/store.ts";

const NODE_PROGRAM = join(import.meta.dirname, "../../../../dist/m25-mail-node.mjs");

/** No other program uses this address, so a server that is started again finds its port free. */
const HOST = "127.0.0.2";

/** A shipped program that is ended and started again. */
export class Program {
  readonly name: string;
  readonly #start: () => Promise<Running>;
  readonly #runs: Running[] = [];

  constructor(name: string, start: () => Promise<Running>) {
    this.name = name;
    this.#start = start;
  }

  /** Resolves when it is ready. */
  async start(): Promise<void> {
    this.#runs.push(await this.#start());
  }

  async end(signal: "SIGTERM" | "SIGKILL"): Promise<Finished> {
    const last = this.#runs.at(-1);
    if (last === undefined) throw new Error("it has not been started");
    last.child.kill(signal);
    return last.finished;
  }

  get restarts(): number {
    return this.#runs.length - 1;
  }

  /** Waits until it says this. */
  async says(pattern: RegExp): Promise<void> {
    await this.#runs.at(-1)?.says(pattern);
  }

  /** All that it has said since its first start. It must have ended. */
  async log(): Promise<string> {
    const ended = await Promise.all(this.#runs.map(({ finished }) => finished));
    return ended.map(({ stderr }) => stderr).join("");
  }

  /** Memory in MB, and open files. */
  get uses(): { memory: number; files: number } {
    const folder = `/proc/${this.#runs.at(-1)?.child.pid}`;
    const [, kilobytes] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(join(folder, "status"), "utf8")) ?? [];
    return { memory: Math.round(Number(kilobytes) / 1024), files: readdirSync(join(folder, "fd")).length };
  }
}

/** A server, whose address stays the same. */
export class ServerProgram extends Program {
  url = "";

  constructor(name: string, database: string) {
    const folder = temporaryFolder();
    const unlimited = ["requests", "passwords", "destructive"].flatMap((limit) => [
      `--limit-${limit}`,
      "999999999",
    ]);
    super(name, async () => {
      const port = this.url === "" ? "0" : new URL(this.url).port;
      const where = ["--db", database, "--folder", folder, "--host", HOST, "--port", port];
      const running = startM25mail([
        "serve",
        ...where,
        ...["--tools", "people", "--trusted-proxies", "127.0.0.1"],
        ...unlimited,
      ]);
      const [, url = ""] = await running.says(/serves (https?:\/\/\S+)/);
      this.url = url;
      return running;
    });
  }
}

/** A resident node, which may lose any number of mailboxes. */
export class NodeProgram extends Program {
  /** The folder of its replica. */
  readonly out: string;

  /** @param flags the server's address, and what else the node needs */
  constructor(name: string, { key, out, flags }: { key: string; out: string; flags: readonly string[] }) {
    const keyFile = join(temporaryFolder(), "key");
    writeFileSync(keyFile, `${key}\n`, { mode: 0o600 });
    const files = ["--key-file", keyFile, "--max-loss-percent", "100", "--insecure-http"];
    const { M25_MAIL_POSTFIX_CONFIG, M25_MAIL_POLICY_PORT } = process.env;
    super(name, async () => {
      const running = startM25mail(["run", "--out", out, ...files, ...flags], {
        command: [process.execPath, NODE_PROGRAM],
        environment: { M25_MAIL_POSTFIX_CONFIG, M25_MAIL_POLICY_PORT },
      });
      await running.says(/in step with/);
      return running;
    });
    this.out = out;
  }
}
