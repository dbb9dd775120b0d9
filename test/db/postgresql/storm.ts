import { setTimeout as pause } from "node:timers/promises";
import { expect } from "vitest";
import type { SyncingNode } from "../../support/syncing-node.ts";

/** ms between two changes. Without it a client takes a core from what it waits for. */
const REST = 20;

/** A client of one server, which adds domains until `isOver`, each until it is there. */
export function client(url: string, token: string, name: string, isOver: () => boolean) {
  const acknowledged: string[] = [];
  const add = async (domain: string) => {
    const answer = await fetch(`${url}/api/add-domain`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ domain }),
    });
    await answer.text();
    return answer.status;
  };
  const storm = async () => {
    for (let n = 0; !isOver(); n += 1) {
      const domain = `${name}${n}.nl`;
      // One that may have been done is there already.
      await expect.poll(() => add(domain)).toSatisfy((status) => status === 200 || status === 409);
      acknowledged.push(domain);
      await pause(REST);
    }
  };
  return { acknowledged, ended: storm() };
}

/** Waits until each client has had so many more acknowledged. */
export async function more(storms: ReadonlyArray<{ acknowledged: readonly string[] }>, changes: number) {
  const before = storms.map(({ acknowledged }) => acknowledged.length + changes);
  await expect
    .poll(() => storms.every(({ acknowledged }, place) => acknowledged.length > Number(before[place])))
    .toBe(true);
}

/** A node that polls, and waits, until `isOver`. */
export async function follow(node: SyncingNode, isOver: () => boolean): Promise<void> {
  while (!isOver()) await node.poll({ prefer: "wait=2" });
}
