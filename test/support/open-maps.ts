import { readdirSync, readlinkSync } from "node:fs";

/** The nameless files with maps that this process has open; each state has two, plain and compressed. Linux only. */
export function openMaps(): string[] {
  const links = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ""; // closed meanwhile
    }
  });
  return links.filter((link) => link.includes("/.maps-"));
}
