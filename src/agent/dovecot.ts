import { onOneLine } from "./faults.ts";
import type { Host } from "./host.ts";
import { count } from "./words.ts";

const TIMEOUT = 30_000;
/** Of a question that is asked again at each poll: Dovecot answers in milliseconds, and news must not wait for one that hangs. */
const HOME_TIMEOUT = 5_000;
/** Dovecot looks at its passwd-file at most once in each second of the clock; a little more for its own pace. */
const SETTLE = 50;
/** What `doveadm kick` ends with when the user has left meanwhile. */
const NO_SESSION = 68;
/** What doveadm ends with when it has asked Dovecot and there is no such user (EX_NOUSER). */
const NO_USER = 67;
/** How doveadm says that one of Dovecot's sockets is not there, or that nobody listens at it. */
const AWAY = /connect\w*\([^)]*\) failed: (?:No such file or directory|Connection refused)/;

/** Said in place of doveadm's own words, which are of sockets. */
const DOVECOT_IS_AWAY = "Dovecot does not answer: is it running?";

/**
 * Ends the open sessions of `users`, of those that Dovecot says are there. Before that it waits for the first
 * second of the clock after `written` (milliseconds): until then a client that reconnects with the old
 * password would be let in again, and would stay.
 *
 * A kick that fails is a warning: Dovecot may be down, and then there are no sessions.
 */
export async function endSessions(
  host: Host,
  doveadm: readonly string[] | undefined,
  users: readonly string[],
  written: number,
): Promise<void> {
  if (users.length === 0) return;
  if (doveadm === undefined) {
    host.log(
      `doveadm is not installed: open sessions of ${users.length} changed or removed users are not ended`,
    );
    return;
  }
  await untilDovecotLooks(host, written);
  const who = await doveadmRun(host, doveadm, ["-f", "tab", "who"]);
  if (who === undefined) return;
  const present = new Set(who.split("\n").map((line) => line.split("\t")[0]));
  let ended = 0;
  for (const user of users.filter((one) => present.has(one))) {
    if ((await doveadmRun(host, doveadm, ["kick", user])) !== undefined) ended += 1;
  }
  if (ended > 0) host.log(`ended the open sessions of ${count(ended, "user")}`);
}

/** Waits until Dovecot, when asked, looks at what was written at `written` (milliseconds): for the next second of the clock. */
export async function untilDovecotLooks({ clock }: Host, written: number): Promise<void> {
  const nextSecond = (Math.floor(written / 1000) + 1) * 1000;
  // Not longer than that even when the clock was put back meanwhile.
  await clock.sleep(Math.min(Math.max(nextSecond + SETTLE - clock.now(), 0), 1000 + SETTLE));
}

/**
 * Asks Dovecot for a user's home.
 *
 * @returns `home`: null when it knows no such user; `silence`: why it did not say
 */
export async function homeOf(
  host: Host,
  [command = "doveadm", ...leading]: readonly string[],
  user: string,
): Promise<{ home: string | null; silence?: undefined } | { home?: undefined; silence: string }> {
  const args = [...leading, "user", "-f", "home", user];
  try {
    const { code, stdout, stderr } = await host.run(command, args, { timeout: HOME_TIMEOUT });
    if (code === 0) return { home: stdout.trim() };
    if (code === NO_USER) return { home: null };
    if (AWAY.test(stderr)) return { silence: DOVECOT_IS_AWAY };
    return { silence: notAsked(onOneLine(stderr) || `doveadm ended with ${code ?? "a signal"}`) };
  } catch (error) {
    return { silence: notAsked(`doveadm cannot be run: ${(error as Error).message}`) };
  }
}

function notAsked(reason: string): string {
  return `Dovecot was not asked whom it knows: ${reason}`;
}

/** @returns what it printed, or undefined after a warning */
async function doveadmRun(
  host: Host,
  doveadm: readonly string[],
  args: readonly string[],
): Promise<string | undefined> {
  const [command = "doveadm", ...leading] = doveadm;
  const shown = `doveadm ${args.join(" ")}`;
  try {
    const { code, stdout, stderr } = await host.run(command, [...leading, ...args], { timeout: TIMEOUT });
    if (code === 0) return stdout;
    if (AWAY.test(stderr)) host.log(`warning: ${DOVECOT_IS_AWAY}`);
    else if (code !== NO_SESSION)
      host.log(`warning: ${shown} ended with ${code ?? "a signal"}: ${onOneLine(stderr)}`);
  } catch (error) {
    host.log(`warning: ${shown} cannot be run: ${(error as Error).message}`);
  }
  return undefined;
}
