/** Checks of this machine from outside: its name in DNS, its ports, and lists of senders of spam. */
import type { Resolver } from "node:dns/promises";
import { type Addresses, askDns, publicOf } from "../../machine/public-name.ts";
import type { Finding } from "../../machine/table.ts";
import { reverseName } from "../../mail/network.ts";
import { Dialogue } from "./ports.ts";

const BLOCKLIST = "zen.spamhaus.org";
/** Domains that surely take mail. */
const LARGE = ["gmail.com", "outlook.com"];

export async function checkDns(resolver: Resolver, name: string, addresses: Addresses): Promise<Finding> {
  if ("unknown" in addresses) return { state: "unknown", found: addresses.unknown };
  const open = publicOf(addresses);
  const todo = `Make an A record (and AAAA, if it has IPv6) of ${name} with this machine's public address.`;
  if (open.length === 0) return { state: "not_ok", found: `${name} has no public address in DNS`, todo };
  for (const address of open) {
    const names = await askDns(resolver.resolvePtr(reverseName(address)));
    if (typeof names === "string") return { state: "unknown", found: `PTR of ${address}: ${names}` };
    if (!names.some((one) => one.toLowerCase() === name))
      return {
        state: "not_ok",
        found: `PTR of ${address} is ${names.join(", ") || "missing"}, not ${name}`,
        todo: "Other servers refuse mail from such an address. Set the PTR record (reverse DNS) where you rent the address.",
      };
  }
  return { state: "ok", found: `${name} is ${open.join(", ")}, and back` };
}

/** Tries the ports at the name's addresses, which a router may not allow from inside. */
export async function checkReach(
  name: string,
  addresses: Addresses,
  ports: readonly number[],
): Promise<Finding> {
  const open = publicOf(addresses);
  if (open.length === 0) return { state: "unknown", found: `no public address of ${name} is known` };
  const closed: string[] = [];
  for (const host of open)
    for (const port of ports)
      await Dialogue.open({ port, tls: false }, host).then(
        (dialogue) => dialogue.close(),
        () => closed.push(`${host} port ${port}`),
      );
  if (closed.length === 0) return { state: "ok", found: `ports ${ports.join(", ")} answer at ${name}` };
  return {
    state: "unknown",
    found: `no answer from here: ${closed.join(", ")}`,
    todo: "Try from another network. If they are closed there too, open them in the firewall, or forward them in the router.",
  };
}

/** Tries port 25 of large servers: many providers close it until somebody asks them to open it. */
export async function checkMailOut(resolver: Resolver): Promise<Finding> {
  const answers = await Promise.all(LARGE.map((domain) => mailServerOf(resolver, domain)));
  const servers = answers.filter((one) => one !== undefined);
  if (servers.length === 0) return { state: "unknown", found: "DNS names no server to try" };
  const tried = await Promise.all(
    servers.map((host) =>
      Dialogue.open({ port: 25, tls: false }, host).then(
        (dialogue) => {
          dialogue.close();
          return true;
        },
        () => false,
      ),
    ),
  );
  if (tried.includes(true)) return { state: "ok", found: "port 25 of other servers answers" };
  return {
    state: "not_ok",
    found: `port 25 of ${servers.join(" and ")} does not answer: mail to others waits`,
    todo: "Many providers close port 25: ask yours to open it.",
  };
}

async function mailServerOf(resolver: Resolver, domain: string): Promise<string | undefined> {
  const found = await resolver.resolveMx(domain).catch(() => []);
  return found.sort((one, other) => one.priority - other.priority)[0]?.exchange;
}

/** Lists answer 127.0.0.2 to 127.0.0.11 for an address on them, and 127.255.255.x to resolvers that they do not serve. */
export async function checkBlocklist(resolver: Resolver, addresses: Addresses): Promise<Finding> {
  const open = publicOf(addresses).filter((one) => /^[\d.]+$/.test(one));
  if (open.length === 0) return { state: "unknown", found: "no public IPv4 address is known" };
  for (const address of open) {
    const answer = await askDns(resolver.resolve4(`${address.split(".").reverse().join(".")}.${BLOCKLIST}`));
    if (typeof answer === "string") return { state: "unknown", found: `${BLOCKLIST}: ${answer}` };
    if (answer.some((one) => one.startsWith("127.255.255.")))
      return { state: "unknown", found: `${BLOCKLIST} does not answer this machine's resolver` };
    if (answer.length > 0)
      return {
        state: "not_ok",
        found: `${address} is listed (${answer.join(", ")})`,
        todo: "Many servers refuse its mail. Ask Spamhaus why and how to be removed: https://check.spamhaus.org/",
      };
  }
  return { state: "ok", found: `${open.join(", ")} is not listed by ${BLOCKLIST}` };
}
