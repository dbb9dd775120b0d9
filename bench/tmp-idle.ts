import { join } from "node:path";
import { seedDatabase } from "../db/seed.ts";
import type { Watch } from "./servers/product.ts";
import { addNodes, benchmark, now, Program, temporaryFolder, median, quantile } from "./support.ts";
import { poll } from "./wrk.ts";
import { spawn } from "node:child_process";
await benchmark(async () => {
  const servers = [] as any[];
  for (const sync of ["", "1"]) {
    const folder = temporaryFolder(); const database = join(folder, "m25-mail.db");
    await seedDatabase(database, { users: 1000, domains: 10, passwordHash: "{BLF-CRYPT}$2b$10$" + "a".repeat(53), at: now() });
    const keys = await addNodes(database, 100);
    process.env.SYNC_X = sync; if (!sync) delete process.env.SYNC_X;
    const server = new Program(["bench/servers/product.ts", database], { ipc: true });
    servers.push({ name: sync ? "NORMAL" : "FULL", server, keys, folder, url: await server.until(/serves (http:\S+)/), echo: [], p99: [], max: [] });
  }
  for (let r = 0; r < 8; r++) for (const s of servers) {
    const etag = await s.server.ask("change"); await s.server.ask("watch");
    const dd = spawn("dd", ["if=/dev/zero", "of=" + join(s.folder, "ballast"), "bs=1M", "count=400", "conv=fsync"], { stdio: "ignore" });
    const load = await poll({ url: s.url, keys: s.keys, seconds: 4, connections: 16, pause: 40, folder: s.folder, etag });
    dd.kill();
    const w: Watch = await s.server.ask("report"); s.echo.push(w.echoStall); s.p99.push(load.p99); s.max.push(load.max);
  }
  for (const s of servers) console.log(s.name, "echo stall median", median(s.echo).toFixed(1), "max", quantile(s.echo, 1).toFixed(1), "p99 median", median(s.p99).toFixed(1), "max p99", quantile(s.p99, 1).toFixed(1), "max", quantile(s.max,1).toFixed(1));
});
