import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { openDatabase } from "../../../../db/open.ts";
import { mailDaemons, startMailLab } from "../../../mail/lab.ts";
import { outFolder } from "../../../node/folder.ts";
import { http } from "../../../support/http.ts";
import type { Mailbox } from "../../../support/mail-model.ts";
import { isInstalled, startBalancer } from "../../../support/proxies.ts";
import { PASSWORD, temporaryFolder, testRuntime } from "../../../support/store.ts";
import { Pair } from "./pair.ts";
import { NodeProgram, ServerProgram } from "./programs.ts";

/** A mailbox for each server. Its quota tells which of that server's changes a node has. */
export const markOf = (place: number) => `mark${place}@marks.nl`;

export const MAILBOX: Readonly<Mailbox> = {
  password: PASSWORD,
  quota: 1,
  limit: "default",
  active: true,
  apps: [],
};

export type World = Awaited<ReturnType<typeof makeWorld>>;

/** Two servers, one of which will be lost; a node of the other one; a node behind Caddy, which uses the first while it is there. */
export async function makeWorld() {
  const pair = await Pair.start();
  const store = await openDatabase(pair.address, { create: true });
  onTestFinished(() => store.close());
  const { must, run, bugs } = testRuntime(store);
  for (const domain of ["marks.nl", "moving.nl"]) await must("add-domain", { domain });
  for (const email of [markOf(0), markOf(1), "here@moving.nl"])
    await must("add-user", { email, password: PASSWORD, quota_mb: MAILBOX.quota });
  await must("set-alias", { address: "info@moving.nl", targets: ["here@moving.nl"] });
  const token = String((await must("create-token", { name: "storm" })).token);
  const servers: [ServerProgram, ServerProgram] = [
    new ServerProgram("server 1", pair.address),
    new ServerProgram("server 2", pair.address),
  ];
  for (const server of servers) await server.start();
  const proxy = await behindCaddy(servers, token);
  const [first, second] = servers;
  const victim = proxy?.used ?? second;
  const survivor = victim === first ? second : first;
  const lab = await mailLab();
  const nodes: NodeProgram[] = [];
  const placed = [
    { out: lab.out, flags: ["--server", survivor.url, ...lab.flags] },
    { out: outFolder(), flags: proxy?.flags ?? ["--server", victim.url] },
  ];
  for (const [place, where] of placed.entries()) {
    const key = String((await must("add-node", { name: `node${place + 1}` })).sync_key);
    const node = new NodeProgram(`node ${place + 1}`, { key, ...where });
    await node.start();
    nodes.push(node);
  }
  return { pair, store, run, bugs, servers, token, nodes, lab, victim, hasProxy: proxy !== undefined };
}

/** Flags for a node behind Caddy, and the server that Caddy uses while both are there. */
async function behindCaddy(servers: readonly [ServerProgram, ServerProgram], token: string) {
  if (!isInstalled("caddy")) return undefined;
  const { url, ca } = await startBalancer([servers[0].url, servers[1].url]);
  const file = join(temporaryFolder(), "ca.pem");
  writeFileSync(file, ca);
  await http(`${url}/api/list-domains`, { headers: { authorization: `Bearer ${token}` }, ca });
  const used = await Promise.race(servers.map((server) => server.says(/list-domains/).then(() => server)));
  return { flags: ["--server", url, "--ca", file], used };
}

/** A replica's folder, with the real Dovecot on it where it is installed. */
async function mailLab() {
  const [out, mailRoot] = [outFolder(), join(temporaryFolder(), "mail")];
  if (!mailDaemons().available) return { out, flags: [] };
  mkdirSync(mailRoot);
  const daemons = await startMailLab({ out, mailRoot });
  onTestFinished(() => daemons.stop());
  const { dovecotConfig, logins } = daemons;
  const flags = ["--mail-root", mailRoot, "--dovecot-config", dovecotConfig, "--logins", logins];
  return { out, flags, daemons };
}
