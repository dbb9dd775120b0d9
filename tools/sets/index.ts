import type { Tool } from "../call/tool.ts";
import { readOnlyTools, tools } from "../index.ts";

/** The sets of tools, off until an operator turns them on (--tools). A set that is off is not loaded. */
const sets = {
  aliases: async () => (await import("./aliases/index.ts")).aliases,
  dns: async () => (await import("./dns/index.ts")).dns,
  people: async () => (await import("./people/index.ts")).people,
  usage: async () => (await import("./usage/index.ts")).usage,
} satisfies Record<string, () => Promise<readonly Tool[]>>;

export type SetName = keyof typeof sets;

export const setNames = Object.keys(sets) as SetName[];

/** The tools of these sets, in the same order for every order of the names. */
export async function toolsOf(names: readonly SetName[]): Promise<Tool[]> {
  const wanted = setNames.filter((name) => names.includes(name));
  return (await Promise.all(wanted.map((name) => sets[name]()))).flat();
}

/** The nine tools and those of these sets; read-only, those of them that change nothing. */
export async function offeredTools(names: readonly SetName[], isReadOnly: boolean): Promise<readonly Tool[]> {
  const ofSets = await toolsOf(names);
  if (!isReadOnly) return [...tools, ...ofSets];
  return [...readOnlyTools, ...ofSets.filter(({ effect }) => effect === "read")];
}

/** The nine tools and those of all sets: the operator has them at the shell without turning them on. */
export async function allTools(): Promise<readonly Tool[]> {
  return [...tools, ...(await toolsOf(setNames))];
}
