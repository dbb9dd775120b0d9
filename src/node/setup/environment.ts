import type { SetupConfig } from "../config.ts";

type Wanted = Pick<SetupConfig, "server" | "caFile" | "insecureHttp">;

const HEAD =
  "# `m25-mail-node run --help` lists all settings. The sync key is not here but in /etc/m25-mail-node/key.\n";

/** What to do with node.env. It is the operator's: setup adds what is not set at all, and changes nothing. */
export function planEnvironment(
  now: string | undefined,
  { server, caFile, insecureHttp }: Wanted,
  dkim: string | undefined,
): { do: "keep" | "create" | "add"; text: string } {
  const wanted: Array<[name: string, value: string | undefined]> = [
    ["M25_MAIL_SERVER", server.origin],
    ["M25_MAIL_CA", caFile],
    ["M25_MAIL_INSECURE_HTTP", insecureHttp ? "1" : undefined],
    ["M25_MAIL_DKIM", dkim],
  ];
  const lines = wanted
    .filter(([name, value]) => value !== undefined && setIn(now, name) === undefined)
    .map(([name, value]) => `${name}=${value}\n`)
    .join("");
  if (now === undefined) return { do: "create", text: `${HEAD}${lines}` };
  if (lines === "") return { do: "keep", text: now };
  return { do: "add", text: `${now}${now === "" || now.endsWith("\n") ? "" : "\n"}${lines}` };
}

/** A variable's value in an environment file; undefined if the file does not set it. */
export function setIn(text: string | undefined, name: string): string | undefined {
  return new RegExp(`^${name}=["']?([^"'\n]*)`, "m").exec(text ?? "")?.[1]?.trim();
}
