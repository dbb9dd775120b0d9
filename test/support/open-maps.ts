import { readdirSync, readlinkSync } from "node:fs";

/** Returns this process's open, unlinked map files: per state one plain and one compressed. Linux only. */
export function openMaps(): string[] {
  const links = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ""; // closed in the meantime
    }
  });
  return links.filter((link) => link.includes("/.maps-"));
}
