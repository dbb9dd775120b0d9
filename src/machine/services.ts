import type { Host } from "./host.ts";
import type { Finding } from "./table.ts";

/**
 * Whether these services run.
 *
 * @param instead by the name of a service: another unit that does its work
 */
export async function checkUnits(
  { units }: Pick<Host, "units">,
  wanted: readonly string[],
  instead: Readonly<Record<string, string>> = {},
): Promise<Finding> {
  const runs = async (unit: string): Promise<boolean> => {
    if ((await units.isActive(unit)) !== false) return true;
    const other = instead[unit];
    return other !== undefined && (await units.isActive(other)) === true;
  };
  const running = await Promise.all(wanted.map(runs));
  const stopped = wanted.filter((_, index) => !running[index]);
  if (stopped.length === 0) return { state: "ok", found: `${wanted.join(", ")} run` };
  return {
    state: "not_ok",
    found: `${stopped.join(", ")} not running`,
    todo: `See: journalctl -u ${stopped[0]} -n 30`,
  };
}
