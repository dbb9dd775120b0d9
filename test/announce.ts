import { needs } from "./support/needs.ts";

/**
 * The first line of a run: the time that the suite takes on two idle cores, and the tests that it skips. The longer time is that
 * of a virtual machine on which the start of a process costs much.
 */
const minutes = { tests: "5 to 20", sweeps: "10 to 30" };

const kind = process.argv[2] === "sweeps" ? "sweeps" : "tests";
const missing = needs.filter((need) => need.of === kind && !need.met()).map(({ name }) => name);
const skips = missing.length === 0 ? "Nothing is skipped" : `Skipped for lack of: ${missing.join(", ")}`;
process.stdout.write(`The ${kind} take about ${minutes[kind]} minutes on two quiet cores. ${skips}.\n`);
