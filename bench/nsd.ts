import { type ChildProcess, spawn } from "node:child_process";
import { createWriteStream, existsSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import { writeConfiguration } from "../test/support/name-server.ts";

const ZONE = "bench.example";

export interface NameServer {
  port: number;
  stop(): Promise<void>;
}

/** NSD on its own loopback port, separate from any system service, with a zone of this many addresses. */
export async function startNsd(folder: string, records: number): Promise<NameServer> {
  const program = ["/usr/sbin/nsd", "/usr/local/sbin/nsd"].find(existsSync);
  if (program === undefined) throw new Error("NSD is not installed (Debian: apt install nsd)");
  await writeZone(join(folder, "zone"), records);
  const port = await freePort();
  const configuration = await writeConfiguration(folder, `127.0.0.1@${port}`, {
    server: "  tcp-timeout: 600\n  verbosity: 1\n",
    zones: `zone:\n  name: ${ZONE}\n  zonefile: zone\n  provide-xfr: 127.0.0.1 NOKEY\n`,
  });
  const child = spawn(program, ["-d", "-c", configuration], { stdio: "ignore" });
  const stop = () => ended(child);
  for (let attempt = 0; attempt < 600; attempt += 1) {
    // NSD listens before it has loaded the zone, and refuses until then.
    if ((await transfer(port).catch(() => 0)) > records) return { port, stop };
    if (child.exitCode !== null) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await stop();
  throw new Error("NSD does not serve its zone");
}

/** Reads one AXFR (RFC 5936). @returns the number of records */
export function transfer(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let left = Buffer.alloc(0);
    let records = 0;
    socket.on("connect", () => void socket.write(question()));
    socket.on("data", (piece) => {
      let data = left.length === 0 ? piece : Buffer.concat([left, piece]);
      while (data.length >= 2 && data.length >= 2 + data.readUInt16BE(0)) {
        const length = data.readUInt16BE(0);
        const message = data.subarray(2, 2 + length);
        if ((message.readUInt16BE(2) & 0xf) !== 0) return void socket.destroy(new Error("refused"));
        records += message.readUInt16BE(6);
        data = data.subarray(2 + length);
        // The SOA record comes first and last: the last message contains one.
        if (endsWithSoa(message, records)) {
          socket.destroy();
          return resolve(records);
        }
      }
      left = Buffer.from(data);
      return undefined;
    });
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("the transfer was cut off")));
  });
}

/** No other bytes of this zone equal the serial. */
const SERIAL = 0x7a7a7a7a;
const SERIAL_BYTES = Buffer.from([0x7a, 0x7a, 0x7a, 0x7a]);

function endsWithSoa(message: Buffer, records: number): boolean {
  return message.readUInt16BE(6) !== records && message.subarray(-24).includes(SERIAL_BYTES);
}

function question(): Buffer {
  const header = Buffer.from([0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  const labels = ZONE.split(".").map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
  const body = Buffer.concat([header, ...labels, Buffer.from([0, 0, 252, 0, 1])]);
  const length = Buffer.alloc(2);
  length.writeUInt16BE(body.length);
  return Buffer.concat([length, body]);
}

async function writeZone(file: string, records: number): Promise<void> {
  const out = createWriteStream(file);
  out.write(
    `$ORIGIN ${ZONE}.\n$TTL 60\n@ SOA ns hostmaster ${SERIAL} 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n`,
  );
  for (let first = 0; first < records; first += 1000) {
    let lines = "";
    for (let index = first; index < Math.min(first + 1000, records); index += 1) {
      lines += `user${index} A 10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}\n`;
    }
    if (!out.write(lines)) await new Promise<void>((resolve) => out.once("drain", () => resolve()));
  }
  out.end();
  await finished(out);
}

function freePort(): Promise<number> {
  return new Promise<number>((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve((address as AddressInfo).port));
    });
  });
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await gone;
}
