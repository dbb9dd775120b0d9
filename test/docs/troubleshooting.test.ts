import { expect, test } from "vitest";
import { statuses } from "../../src/doors/http/problem.ts";
import { exitCodes } from "../../src/node/faults.ts";
import { reportReasons } from "../../src/sync/report.ts";
import { nodeStatuses } from "../../tools/nodes/condition.ts";
import { serverReasons } from "../../tools/nodes/hints.ts";
import { textOf } from "./pages.ts";

/** Returns the first column of the table below a heading. */
function named(heading: string): string[] {
  const [, section = ""] = textOf("docs/troubleshooting.md").split(`\n## ${heading}\n`);
  const [text = ""] = section.split(/^## /m);
  return [...text.matchAll(/^\| (\w+) \|/gm)].map(([, name = ""]) => name).slice(1);
}

test("the page explains every error code, and no other", () => {
  expect(named("Error codes").sort()).toEqual(Object.keys(statuses).sort());
});

test("the page explains every status of a node, and no other", () => {
  expect(named("Node status").sort()).toEqual([...nodeStatuses].sort());
});

test("the page explains every reason of a node, and no other", () => {
  const reasons = [...reportReasons, ...serverReasons];
  expect(named("Node reasons").sort()).toEqual(reasons.sort());
});

test("the page explains every exit code of the node's program, and no other", () => {
  expect(named("The node's program ends").map(Number)).toEqual(Object.values(exitCodes));
});
