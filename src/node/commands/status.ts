import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Machine } from "../../machine/machine.ts";
import type { StatusConfig } from "../config.ts";
import { type ExitCode, exitCodeOf, exitCodes, explain } from "../faults.ts";
import { fileNames, hasFile } from "../replica/files.ts";
import { countLogins } from "../replica/replica.ts";
import { type Found, withState } from "./state.ts";
import { describeStatus, isSilent, type Status } from "./status-text.ts";

/** Prints the node's state and health, without asking the server. */
export async function showStatus(
  machine: Machine,
  { out, json }: StatusConfig,
  version: string,
): Promise<ExitCode> {
  const status = await readStatus(machine, out, version);
  machine.print(json ? `${JSON.stringify(status)}\n` : describeStatus(status, machine.clock.now()));
  return status.exit_code;
}

export async function readStatus(machine: Machine, out: string, version: string): Promise<Status> {
  const nothing = {
    serving: null,
    role: null,
    ready: false,
    withheld: null,
    accepted: false,
    unproved: false,
  };
  let known: Omit<Status, "exit_code" | "unwritable"> = {
    ...{ out, version, ...nothing, reported_at: null, former: [], last_poll: null },
    unreadable: [],
  };
  try {
    known = await withState(machine, out, "read", async (found) => ({
      ...known,
      ...(await statusOf(found, out)),
    }));
  } catch (error) {
    known = { ...known, unreadable: [explain(error)] };
  }
  const hasFiles = await hasFile(out, fileNames.addresses);
  const fault = hasFiles && known.unreadable.length === 0 ? await probe(out) : undefined;
  const status = { ...known, unwritable: fault === undefined ? null : explain(fault) };
  const exit_code = fault === undefined ? exitCodeFor(status, machine.clock.now()) : exitCodeOf(fault);
  return { ...status, exit_code };
}

async function statusOf({ replica, meta, notes }: Found, out: string): Promise<Partial<Status>> {
  const { poll, reported, accepted, unproved, ledger } = notes;
  const told = {
    last_poll: poll ?? null,
    reported_at: reported?.at ?? null,
    accepted: accepted !== undefined,
  };
  if (meta === undefined || meta.role === "") return told;
  const { withheld } = replica;
  const { role, domains, history, revision, digest, since } = meta;
  const former = role === "mx" && (await hasFile(out, fileNames.logins)) ? [fileNames.logins] : [];
  return {
    ...told,
    role,
    ready: meta.ready === 1,
    serving: {
      domains: domains + withheld.domains,
      users: meta.users + withheld.users,
      aliases: meta.aliases + meta.domain_aliases + withheld.aliases + withheld.domain_aliases,
      ...{ history, revision, digest, since },
    },
    withheld:
      withheld.addresses === 0
        ? null
        : { ...withheld, logins: await countLogins(replica), since: ledger?.withheldSince ?? since },
    unproved: unproved !== undefined,
    former,
  };
}

/** At least as long as any note of a poll. */
const PROBE = " ".repeat(16_384);

/** @returns the error that would keep a poll from writing a note: a full or read-only disk, or a missing right */
async function probe(out: string): Promise<unknown> {
  const path = join(out, `.probe.${process.pid}`);
  try {
    const file = await open(path, "wx", 0o600);
    try {
      await file.writeFile(PROBE);
    } finally {
      await file.close();
    }
    return undefined;
  } catch (error) {
    return error;
  } finally {
    await rm(path, { force: true }).catch(() => undefined);
  }
}

function exitCodeFor(status: Omit<Status, "exit_code">, now: number): ExitCode {
  const { serving, last_poll } = status;
  const last = Object.values(exitCodes).find((code) => code === last_poll?.exit_code);
  if (serving === null) return last !== undefined && last !== exitCodes.done ? last : exitCodes.configuration;
  // A failed last poll counts more than removals withheld before.
  if (last !== undefined && last !== exitCodes.done) return last;
  if (status.withheld !== null) return exitCodes.refused;
  // A Dovecot that does not answer is no failure of the poll.
  const unproved = status.unproved && last_poll?.dovecot == null;
  const amiss = !status.ready || unproved || last_poll === null || isSilent(last_poll, now);
  return amiss ? exitCodes.temporary : exitCodes.done;
}
