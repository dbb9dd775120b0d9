import { resolve } from "node:path";
import type { FlagValues } from "../../command-line/flags.ts";
import { UsageError } from "../../command-line/usage-error.ts";
import { optionalText } from "../../doors/cli/arguments.ts";
import type { CertificateWishes } from "../../machine/certificate.ts";
import { ConfigurationError } from "../../machine/faults.ts";
import type { Memory } from "../../machine/files.ts";
import type { Host } from "../../machine/host.ts";
import { askName, nameOf } from "../../machine/public-name.ts";
import { type Answers, type ProxyName, proxies } from "./configurations.ts";

const QUESTION = { asked: "The server's public name in DNS", example: "mail-admin.example.nl" };
/** The Debian packages of the proxies that setup sets up. */
const known = ["caddy", "nginx"] as const;

/** The flags of the command line. */
export interface Wishes extends CertificateWishes {
  hostName: string | undefined;
  proxy: ProxyName | undefined;
  domain: string | undefined;
  passwordFile: string | undefined;
  replace: boolean;
}

/** @throws UsageError */
export function wishesOf(flags: FlagValues): Wishes {
  const proxy = optionalText(flags.proxy);
  const wishes = {
    hostName: optionalText(flags["host-name"]),
    proxy: proxies.find((one) => one === proxy),
    certificate: flags.certificate === undefined ? undefined : resolve(String(flags.certificate)),
    certbot: flags.certbot === true,
    acmeServer: optionalText(flags["acme-server"]),
    selfSigned: flags["self-signed"] === true,
    domain: optionalText(flags.domain),
    passwordFile: optionalText(flags["password-file"]),
    replace: flags.replace === true,
  };
  if (proxy !== undefined && wishes.proxy === undefined)
    throw new UsageError(`--proxy takes one of ${proxies.join(", ")}.`);
  return wishes;
}

/**
 * Finds out what the files depend on: from flags, from the last setup, from the machine, or by a question.
 *
 * @param publicUrl the server's address so far
 * @throws UsageError, ConfigurationError
 */
export async function findAnswers(
  host: Host,
  memory: Memory,
  wishes: Wishes,
  publicUrl: string | undefined,
): Promise<Answers> {
  const before = JSON.parse((await memory.recall("answers")) ?? "{}") as Partial<Answers>;
  const now = publicUrl === undefined ? before.hostName : new URL(publicUrl).hostname;
  const name = wishes.hostName ?? now ?? (await askName(host, QUESTION));
  const hostName = nameOf("host-name", name, QUESTION.example);
  if (publicUrl !== undefined && hostName !== now)
    throw new ConfigurationError(
      `the server's address is ${publicUrl}: to give it another name, change M25_MAIL_PUBLIC_URL in /etc/m25-mail/server.env, ` +
        "and run setup again",
    );
  const proxy = wishes.proxy ?? before.proxy ?? (await findProxy(host));
  if (proxy === "caddy" && wishes.certbot)
    throw new UsageError("Caddy gets the certificate by itself: leave out --certbot.");
  if ((proxy === "caddy" || proxy === "nginx") && (await host.machine.find(proxy)) === undefined)
    throw new ConfigurationError(`${proxy} is not installed (Debian: apt-get install ${proxy})`);
  const caddy = (proxy === "caddy" ? caddyFrom(wishes) : undefined) ?? before.caddy;
  return { hostName, proxy, caddy: caddy ?? { certificate: "its own" } };
}

/** undefined if nothing is said about Caddy's certificate. */
function caddyFrom({ certificate, acmeServer, selfSigned }: Wishes): Answers["caddy"] | undefined {
  if (certificate !== undefined) return { certificate: "from files" };
  if (selfSigned) return { certificate: "self-signed" };
  return acmeServer === undefined ? undefined : { certificate: "its own", acmeServer };
}

/** The proxy that is there: of two, the one that runs. */
async function findProxy({ machine, units }: Host): Promise<ProxyName> {
  const programs = await Promise.all(known.map((name) => machine.find(name)));
  const installed = known.filter((_, index) => programs[index] !== undefined);
  if (installed.length < 2) return installed[0] ?? "none";
  const active = await Promise.all(installed.map((name) => units.isActive(name)));
  const running = installed.filter((_, index) => active[index]);
  if (running.length === 1 && running[0] !== undefined) return running[0];
  throw new UsageError(`${installed.join(" and ")} are both installed: choose one by --proxy.`);
}
