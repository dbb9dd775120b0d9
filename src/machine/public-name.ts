import type { Resolver } from "node:dns/promises";
import { UsageError } from "../command-line/usage-error.ts";
import { Networks } from "../mail/network.ts";
import { HOST_NAME } from "../sync/report.ts";
import { systemCode } from "./faults.ts";
import type { Host } from "./host.ts";
import { runQuietly } from "./machine.ts";

/** Asks for the machine's name at the terminal, with its own as a guess. @throws UsageError */
export async function askName(
  host: Host,
  { asked, example }: { asked: string; example: string },
): Promise<string> {
  const guess = (await runQuietly(host.machine, ["hostname", "--fqdn"])).stdout.trim();
  const good = isName(guess) ? guess : undefined;
  const typed = await host.ask(`${asked}${good === undefined ? `, such as ${example}` : ` [${good}]`}: `);
  const name = typed === undefined || typed === "" ? good : typed;
  if (name === undefined) throw new UsageError(`--host-name is missing: ${asked}, such as ${example}`);
  return name;
}

/** @throws UsageError */
export function nameOf(flag: string, text: string, example: string): string {
  const name = text.toLowerCase().replace(/\.$/, "");
  if (!isName(name)) throw new UsageError(`--${flag} must be a name in DNS, such as ${example}`);
  return name;
}

function isName(text: string): boolean {
  return HOST_NAME.test(text) && text.includes(".") && !/^localhost\b|^[\d.]+$/.test(text);
}

const inside = new Networks([
  "127.0.0.0/8",
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "::1",
  "fc00::/7",
  "fe80::/10",
]);

export type Addresses = readonly string[] | { unknown: string };

/** The addresses of a name; unknown if DNS does not answer. */
export async function addressesOf(resolver: Resolver, name: string): Promise<Addresses> {
  const found = await Promise.all([askDns(resolver.resolve4(name)), askDns(resolver.resolve6(name))]);
  const fault = found.find((one) => typeof one === "string");
  const addresses = found.flatMap((one) => (Array.isArray(one) ? one : []));
  return typeof fault === "string" && addresses.length === 0 ? { unknown: fault } : addresses;
}

/** Those that other machines can reach. */
export function publicOf(addresses: Addresses): string[] {
  return "unknown" in addresses ? [] : addresses.filter((address) => !inside.has(address));
}

/** @returns the records; none for a name without any; the fault if DNS does not answer */
export async function askDns(question: Promise<string[]>): Promise<string[] | string> {
  try {
    return await question;
  } catch (error) {
    const code = systemCode(error);
    return code === "ENOTFOUND" || code === "ENODATA" ? [] : `DNS does not answer (${code})`;
  }
}
