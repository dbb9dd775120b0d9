import { join } from "node:path";
import { acceptedRevision } from "../sync/acceptance.ts";
import { readAcceptance } from "./acceptance.ts";
import { applyUpdate, type Workplace } from "./apply.ts";
import type { MapsAnswer } from "./client.ts";
import { explain } from "./faults.ts";
import { names } from "./folder.ts";
import { DEFAULT_THRESHOLDS, type Hours, type Kept, passHour, servedOf, settle } from "./losses.ts";
import { summarize } from "./plan.ts";
import { recoverKept } from "./recover.ts";
import type { Start } from "./repair.ts";
import { inspect } from "./situation.ts";
import { isState, type NodeState, noteNodeState } from "./state.ts";

/** What an operator has accepted on this node; done at once, for nothing is needed of the server. */
export async function acceptHere(place: Workplace, start: Start): Promise<Start> {
  const { host, config } = place;
  const { recorded } = start;
  const mark = join(config.out, names.accepted);
  const acceptance = await readAcceptance(host.files, config.out);
  const withheld = recorded?.withheld ?? null;
  let done = start;
  if (recorded !== undefined && withheld !== null && acceptance?.history === recorded.applied.history) {
    const kept = await start.kept();
    if (kept !== undefined && acceptance.revision >= withheld.first) {
      const { count: hour } = recorded.hours;
      const thresholds = config.thresholds ?? DEFAULT_THRESHOLDS;
      const next = settle(kept, kept.server, { hour, thresholds, acceptedHere: acceptance.revision });
      try {
        const state = await applyKept(place, start, next, recorded.hours);
        done = { ...start, recorded: state, kept: async () => next, before: async () => [servedOf(next)] };
      } catch (fault) {
        host.log(explain(fault));
        return { ...start, before: async () => [...(await start.before()), servedOf(next)], fault };
      }
    }
  }
  await host.files.remove(mark);
  return done;
}

/**
 * Brings this node to what the server has, as far as the rule of losses.ts lets it.
 *
 * @returns what state.json says then
 */
export async function applyAnswer(
  place: Workplace,
  start: Start,
  { state: server, accepted: said, acceptedAnew }: MapsAnswer,
): Promise<NodeState> {
  const { host, config } = place;
  const accepted = config.acceptLocally === true ? undefined : said;
  if (accepted !== said && acceptedAnew && start.recorded?.withheld != null) {
    host.log(
      `the server says that withheld removals may go; --accept local: m25-mail-node accept --out ${config.out} lets them go`,
    );
  }
  const { recorded } = start;
  const now = host.clock.now();
  const hours =
    recorded === undefined ? { count: 0, at: new Date(now).toISOString() } : passHour(recorded.hours, now);
  if (server === undefined && recorded === undefined) throw new Error("304 without a state");
  const limit = acceptedRevision(accepted);
  const concerns = recorded?.withheld != null && limit !== undefined && limit >= recorded.withheld.first;
  if (server === undefined && recorded !== undefined && !concerns)
    return await rememberHours(place, recorded, hours);

  const kept = (await start.kept()) ?? (await recoverKept(host.files, config.out, hours.count));
  const target = server ?? kept?.server;
  if (target === undefined) throw new Error(`${names.snapshot} is lost`);
  const thresholds = config.thresholds ?? DEFAULT_THRESHOLDS;
  const next = settle(kept, target, { hour: hours.count, thresholds, accepted });
  if (server === undefined && recorded !== undefined && next.withheld.size === kept?.withheld.size)
    return await rememberHours(place, recorded, hours);
  return await applyKept(place, start, next, hours);
}

async function applyKept(place: Workplace, start: Start, target: Kept, hours: Hours): Promise<NodeState> {
  const { host, config } = place;
  const { recorded } = start;
  const served = servedOf(target);
  let before = await start.before();
  // Only what the files are made from was lost: they themselves are this state's.
  if (before.length === 0 && recorded !== undefined && isState(recorded.applied, served)) before = [served];
  if (before.length === 0) {
    const recovered = await recoverKept(host.files, config.out, hours.count);
    if (recovered !== undefined) before = [recovered.server];
  }
  const found = await inspect(config.out, { ...host, mailRoot: config.mailRoot }, served.role);
  const update = { before, target, stored: undefined, recorded, hours, found };
  const { plan, state } = await applyUpdate(place, update);
  const { revision, counts } = state.applied;
  const { domains, users } = counts;
  host.log(`applied revision ${revision}: ${summarize(plan)}; domains: ${domains}, users: ${users}`);
  if (recorded?.applied.role === "mail" && served.role === "mx")
    host.log(
      "this node is an mx now: users and senders stay, not kept up, for a day after Dovecot last used them",
    );
  return state;
}

/** A counted hour that is not written down is counted later: losses are then remembered for longer. */
async function rememberHours(
  { host, config }: Workplace,
  state: NodeState,
  hours: Hours,
): Promise<NodeState> {
  if (hours === state.hours && state.returned === undefined) return state;
  const next = { ...state, hours, returned: undefined };
  await noteNodeState(host, config.out, next);
  return next;
}
