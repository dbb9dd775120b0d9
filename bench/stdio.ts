import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Program } from "./support.ts";

const INITIALIZE = {
  protocolVersion: "2025-06-18",
  capabilities: {},
  clientInfo: { name: "bench", version: "1" },
};

/** The shipped program; M25_MAIL_PROGRAM names another build. */
export function shippedProgram(): string {
  const program = process.env.M25_MAIL_PROGRAM || join(import.meta.dirname, "../dist/m25-mail.js");
  if (!existsSync(program)) throw new Error("There is no dist/m25-mail.js: run npm run build first.");
  return program;
}

/** An MCP server on stdio, with a client so small that its own time hardly counts. */
export class StdioServer {
  readonly program: Program;
  /** ms from process start to the answer to `initialize`. */
  readonly started: Promise<number>;
  readonly #answers = new Map<number, (result: Record<string, unknown>) => void>();
  #id = 0;

  constructor(args: readonly string[]) {
    const begin = performance.now();
    this.program = new Program(args);
    const { stdout } = this.program.child;
    if (stdout === null) throw new Error("the program has no stdout");
    createInterface({ input: stdout }).on("line", (line) => {
      const { id, result } = JSON.parse(line) as { id?: number; result?: Record<string, unknown> };
      if (id === undefined) return;
      this.#answers.get(id)?.(result ?? {});
      this.#answers.delete(id);
    });
    this.started = this.request("initialize", INITIALIZE).then((result) => {
      if (result.serverInfo === undefined) throw new Error("the server did not initialize");
      const took = performance.now() - begin;
      this.#send({ method: "notifications/initialized" });
      return took;
    });
  }

  request(method: string, params: Record<string, unknown>): Promise<Record<string, unknown>> {
    this.#id += 1;
    const id = this.#id;
    return new Promise((resolve) => {
      this.#answers.set(id, resolve);
      this.#send({ id, method, params });
    });
  }

  #send(message: Record<string, unknown>): void {
    this.program.child.stdin?.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
  }
}
