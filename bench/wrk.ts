import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

export interface Load {
  requestsPerSecond: number;
  requests: number;
  /** In ms. */
  p50: number;
  p99: number;
  max: number;
}

export interface LoadOptions {
  url: string;
  /** Default: a poll. */
  path?: string;
  /** Credentials to use in turn. */
  keys: readonly string[];
  etag: string;
  seconds: number;
  connections?: number;
  /** ms between two polls of a connection. */
  pause?: number;
  folder: string;
}

/** Polls with wrk in one thread. Every answer must be a 304, or as short as one. */
export async function poll(options: LoadOptions): Promise<Load> {
  const { url, path = "/sync/v1/maps", keys, etag, seconds, connections = 32, pause = 0, folder } = options;
  const keyFile = join(folder, "keys");
  writeFileSync(keyFile, keys.join("\n"), { mode: 0o600 });
  const script = join(import.meta.dirname, "poll.lua");
  const args = ["-t1", `-c${connections}`, `-d${seconds}s`, "-s", script, `${url}${path}`];
  const env = { ...process.env, POLL_KEYS: keyFile, POLL_ETAG: etag, POLL_PAUSE: String(pause) };
  const { stdout } = await promisify(execFile)("wrk", args, { env, timeout: (seconds + 30) * 1000 });
  const result = /^poll (\d+) (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)$/m.exec(stdout)?.slice(1).map(Number);
  if (result === undefined) throw new Error(`wrk said nothing of use:\n${stdout}`);
  const [requests = 0, microseconds = 0, bytes = 0, errors = 0, p50 = 0, p99 = 0, max = 0] = result;
  // An answer with maps would be longer than any header.
  if (errors > 0 || bytes / requests > 1000)
    throw new Error(`not every poll was answered 304, or an answer was long:\n${stdout}`);
  return {
    requestsPerSecond: requests / (microseconds / 1e6),
    requests,
    p50: p50 / 1000,
    p99: p99 / 1000,
    max: max / 1000,
  };
}
