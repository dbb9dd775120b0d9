import type { FastifyReply, FastifyRequest } from "fastify";
import * as z from "zod";
import type { PollingNode, Tables } from "../../../db/store.ts";
import { DKIM_KEY } from "../../mail/dkim-key.ts";
import {
  DKIM_CURSOR,
  type DkimAnswer,
  type DkimReport,
  MOST_DKIM_DOMAINS,
  MOST_DKIM_KEYS,
} from "../../sync/dkim.ts";
import { HOST_NAME } from "../../sync/report.ts";
import type { SyncDoor } from "./door.ts";
import { reportBody } from "./report-body.ts";

/** States of keys in one answer. */
const MOST_CHANGES = 500;

const Body: z.ZodType<DkimReport> = z.strictObject({
  cursor: z.string().regex(DKIM_CURSOR),
  keys: z
    .record(z.string().regex(HOST_NAME), z.array(z.string().regex(DKIM_KEY)).max(MOST_DKIM_KEYS))
    .refine((keys) => Object.keys(keys).length <= MOST_DKIM_DOMAINS),
});

/** POST /sync/v1/dkim: takes the public halves of a node's DKIM keys, and tells which ones DNS has. */
export async function exchangeDkim(
  door: SyncDoor,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { node } = request;
  const { cursor, keys } = reportBody(door, request, Body, "DKIM keys");
  const { history } = await (await door.store.polls.look()).state(node.view);
  const at = door.now().toISOString();
  const transaction = Object.keys(keys).length === 0 ? door.store.read : door.store.write;
  const answer = await transaction(async (tables): Promise<DkimAnswer> => {
    const after = await positionOf(tables, node, history, cursor);
    if (after === undefined) return { cursor: "", keys: {}, more: true };
    const served = await servedBy(tables, node, Object.keys(keys));
    // A domain's former node may say that it has no key of it any more.
    const taken = Object.entries(keys).filter(([domain, own]) => own.length === 0 || served.has(domain));
    if (taken.length > 0) await tables.dkimKeys.report(node.id, new Map(taken), at);
    const changes = await tables.dkimKeys.changes(node.id, after, MOST_CHANGES + 1);
    const told = changes.slice(0, MOST_CHANGES);
    const more = changes.length > told.length;
    const upTo = more ? (told.at(-1)?.version ?? after) : await tables.dkimKeys.version(node.id);
    return {
      cursor: `${history}-${node.id}-${upTo}`,
      keys: Object.fromEntries(told.map(({ selector, state }) => [selector, state])),
      more,
    };
  });
  return reply.header("cache-control", "no-store").send(answer);
}

/** The version up to which the node knows its keys; undefined if its cursor is another database's or another node's. */
async function positionOf(
  { dkimKeys }: Tables,
  { id }: PollingNode,
  history: string,
  cursor: string,
): Promise<number | undefined> {
  if (cursor === "") return 0;
  const [ofHistory, ofNode, version] = cursor.split("-");
  if (ofHistory !== history || ofNode !== String(id)) return undefined;
  return Number(version) > (await dkimKeys.version(id)) ? undefined : Number(version);
}

/** The names among these that the node serves: a node must not bring keys for the domains of others. */
async function servedBy(
  { domains, domainAliases }: Tables,
  { view }: PollingNode,
  names: readonly string[],
): Promise<ReadonlySet<string>> {
  const has = (domain: string) => view.domains?.includes(domain) ?? true;
  const registered = await domains.named(names, names.length);
  const aliases = await domainAliases.named(names);
  return new Set([
    ...registered.filter(has),
    ...[...aliases].flatMap(([name, of]) => (has(of) ? [name] : [])),
  ]);
}
