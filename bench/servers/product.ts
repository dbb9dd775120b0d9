import { monitorEventLoopDelay } from "node:perf_hooks";
import { Worker } from "node:worker_threads";
import { openStore } from "../../db/sqlite/store.ts";
import { stderrLog } from "../../src/log/log.ts";
import { serveConfig } from "../../src/program/config.ts";
import { serve } from "../../src/program/serve.ts";
import { newestTag, runtimeOf } from "../support.ts";

/** Measurements between "watch" and "report". Times in ms, memory in MB. */
export interface Watch {
  /** The event loop's longest delay of a 1 ms timer, as perf_hooks sees it. */
  timerStall: number;
  /** The longest time that another thread waited for an answer of the event loop. */
  echoStall: number;
  /** The most processor time of the event loop's thread between two such answers. */
  work: number;
  rssBefore: number;
  rssPeak: number;
}

/** m25-mail serve in a process that reports the delays of its event loop over IPC. */
const [database = ""] = process.argv.slice(2);
const store = openStore(database, { create: false });
// Many nodes poll from one address, as behind a proxy.
const config = serveConfig({ db: database, port: "0", "trusted-proxies": "127.0.0.1" }, {});
const server = await serve(config, runtimeOf(store), stderrLog());
const delays = monitorEventLoopDelay({ resolution: 1 });
let watcher: Worker | undefined;
let work = 0;
let worked = 0;

function threadTime(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

const answers: Record<string, () => Promise<unknown>> = {
  async watch() {
    watcher = new Worker(new URL("./loop-probe.ts", import.meta.url));
    watcher.on("message", (message) => {
      if (message !== "echo") return;
      const time = threadTime();
      work = Math.max(work, time - worked);
      worked = time;
      watcher?.postMessage("echo");
    });
    await new Promise((resolve) => watcher?.once("online", resolve));
    await new Promise((resolve) => setTimeout(resolve, 500)); // starting a thread is a stall of its own
    worked = threadTime();
    work = 0;
    watcher.postMessage("begin");
    delays.enable();
    delays.reset();
    return {};
  },
  async report() {
    delays.disable();
    const seen = await new Promise((resolve) => {
      watcher?.on("message", (message) => message !== "echo" && resolve(message));
      watcher?.postMessage("report");
    });
    await watcher?.terminate();
    return { ...(seen as object), work, timerStall: delays.max / 1e6 };
  },
  async "collect garbage"() {
    globalThis.gc?.();
    return {};
  },
  /** Makes a new revision of the state and returns its ETag. */
  async change() {
    await store.write(async ({ users }) => {
      const [user] = await users.page(1, undefined, undefined);
      if (user === undefined) throw new Error("there are no users");
      await users.update(user, { quotaMb: user.quotaMb + 1 }, new Date().toISOString());
    });
    return newestTag(store);
  },
};

process.on("message", async (message: string) => process.send?.(await answers[message]?.()));
process.once("SIGTERM", () => void server.close().then(() => process.exit()));
