import { needs, type Suite } from "./support/needs.ts";

/**
 * The first line of a run: the time that the suite takes on two idle cores, and the tests that it skips. The longer time is that
 * of a virtual machine on which the start of a process costs much.
 */
const minutes: Record<Suite, string> = { tests: "2 to 7", postgresql: "3 to 9", sweeps: "10 to 25" };

const suite = process.argv[2] as Suite;
const missing = needs.filter((need) => need.of.includes(suite) && !need.met()).map(({ name }) => name);
const skips = missing.length === 0 ? "Nothing is skipped" : `Skipped for lack of: ${missing.join(", ")}`;
const others = suite === "tests" ? " test:postgresql and test:sweeps have the rest." : "";
process.stdout.write(
  `These tests take about ${minutes[suite]} minutes on two quiet cores. ${skips}.${others}\n`,
);
