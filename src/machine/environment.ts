/** What to do with a service's environment file. It is the operator's: setup adds what is not set at all, and changes nothing. */
export function planEnvironment(
  now: string | undefined,
  beginning: string,
  wanted: ReadonlyArray<readonly [name: string, value: string | undefined]>,
): { do: "keep" | "create" | "add"; text: string } {
  const lines = wanted
    .filter(([name, value]) => value !== undefined && setIn(now, name) === undefined)
    .map(([name, value]) => `${name}=${value}\n`)
    .join("");
  if (now === undefined) return { do: "create", text: `${beginning}${lines}` };
  if (lines === "") return { do: "keep", text: now };
  return { do: "add", text: `${now}${now === "" || now.endsWith("\n") ? "" : "\n"}${lines}` };
}

/** A variable's value in an environment file; undefined if the file does not set it. */
export function setIn(text: string | undefined, name: string): string | undefined {
  return new RegExp(`^${name}=["']?([^"'\n]*)`, "m").exec(text ?? "")?.[1]?.trim();
}
