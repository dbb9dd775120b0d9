import { X509Certificate } from "node:crypto";
import { request as requestPlain } from "node:http";
import { request as requestTls } from "node:https";
import { isIPv6 } from "node:net";
import type { TLSSocket } from "node:tls";
import { checkCertificate } from "../../machine/certificate.ts";
import type { Host } from "../../machine/host.ts";
import { type Addresses, addressesOf, publicOf } from "../../machine/public-name.ts";
import { checkUnits } from "../../machine/services.ts";
import type { Finding, Row } from "../../machine/table.ts";
import type { Answers } from "./configurations.ts";

/** A busy server answers within seconds. */
const TIMEOUT = 10_000;
const ADVICE = {
  missing: "Run: m25-mail setup --certbot; with Caddy, see: journalctl -u caddy -n 30",
  late: "Renew it: certbot renew; with Caddy, see: journalctl -u caddy -n 30",
  selfSigned: "assistants and nodes refuse it, unless they are told to trust it",
};

/** Where the server listens on this machine. */
export interface Listener {
  port: number;
  tls: boolean;
}

/** The server's answer at /healthz. */
interface Health {
  fault: string | undefined;
  certificate?: X509Certificate | undefined;
  /** True if Node trusts the certificate. */
  isTrusted?: boolean;
}

/** What works, and what to do about the rest. */
export async function checkServer(
  host: Host,
  { hostName, proxy, caddy }: Answers,
  own: Listener,
): Promise<Row[]> {
  const addresses = await addressesOf(host.resolver, hostName);
  const isManaged = proxy === "caddy" || proxy === "nginx";
  const rows: Array<[check: string, finding: Finding | Promise<Finding>]> = [
    ["services", checkUnits(host, isManaged ? ["m25-mail", proxy] : ["m25-mail"])],
    ["server", healthOf("127.0.0.1", own, hostName).then(checkAnswer)],
    ["dns", checkDns(hostName, addresses)],
    ["https", checkHttps(hostName, addresses)],
  ];
  // Caddy's own authority renews twice a day.
  const isRenewedDaily = proxy === "caddy" && caddy.certificate === "self-signed";
  if (proxy !== "other" && !isRenewedDaily) {
    const { certificate } = await healthOf("127.0.0.1", { port: 443, tls: true }, hostName);
    rows.push(["certificate", checkCertificate(certificate, hostName, host.machine.clock.now(), ADVICE)]);
  }
  return await Promise.all(rows.map(async ([check, finding]) => ({ check, ...(await finding) })));
}

function checkAnswer({ fault }: Health): Finding {
  if (fault === undefined) return { state: "ok", found: "answers on this machine" };
  return { state: "not_ok", found: fault, todo: "See: journalctl -u m25-mail -n 30" };
}

function checkDns(name: string, addresses: Addresses): Finding {
  if ("unknown" in addresses) return { state: "unknown", found: addresses.unknown };
  const open = publicOf(addresses);
  if (open.length > 0) return { state: "ok", found: `${name} is ${open.join(", ")}` };
  return {
    state: "not_ok",
    found: `${name} has no public address in DNS`,
    todo: `Make an A record (and AAAA, if it has IPv6) of ${name} with this machine's public address; then run m25-mail setup again.`,
  };
}

/** Asks at each public address, as assistants and nodes do. A router may not allow that from inside. */
async function checkHttps(name: string, addresses: Addresses): Promise<Finding> {
  const open = publicOf(addresses);
  if (open.length === 0) return { state: "unknown", found: `no public address of ${name} is known` };
  const port = { port: 443, tls: true };
  const answers = await Promise.all(open.map((address) => healthOf(address, port, name)));
  const at = answers.findIndex(({ fault }) => fault !== undefined);
  const answer = answers[at];
  if (answer === undefined) {
    const isTrusted = answers.every((one) => one.isTrusted);
    if (isTrusted) return { state: "ok", found: `https://${name} answers` };
    return {
      state: "not_ok",
      found: `https://${name} answers, with a certificate that others do not trust`,
      todo: "Get one: m25-mail setup --certbot; with Caddy, see: journalctl -u caddy -n 30",
    };
  }
  if (answer.certificate === undefined)
    return {
      state: "unknown",
      found: `no answer from here: ${open[at]} port 443 (${answer.fault})`,
      todo: "Try from another network. If it is closed there too, open ports 80 and 443 in the firewall, or forward them in the router.",
    };
  return {
    state: "not_ok",
    found: `${open[at]}: ${answer.fault}`,
    todo: `Does ${name} lead to this machine, and the proxy to the server?`,
  };
}

/** Asks for /healthz by the server's name. */
export function healthOf(address: string, { port, tls }: Listener, name: string): Promise<Health> {
  return new Promise((resolve) => {
    let certificate: X509Certificate | undefined;
    let isTrusted = false;
    const host = isIPv6(address) ? `[${address}]` : address;
    const options = { host: address, port, path: "/healthz", headers: { host: name }, timeout: TIMEOUT };
    const asked = tls
      ? requestTls({ ...options, servername: name, rejectUnauthorized: false, agent: false })
      : requestPlain({ ...options, agent: false });
    asked.once("socket", (socket) => {
      socket.once("secureConnect", () => {
        const { raw } = (socket as TLSSocket).getPeerCertificate();
        certificate = raw === undefined ? undefined : new X509Certificate(raw);
        isTrusted = (socket as TLSSocket).authorized;
      });
    });
    const end = (fault: string | undefined) => resolve({ fault, certificate, isTrusted });
    asked.once("timeout", () => asked.destroy(new Error("it does not answer")));
    asked.once("error", (error) => end(`${host}: ${error.message}`));
    asked.once("response", (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (piece: string) => {
        if (text.length < 1000) text += piece;
      });
      answer.once("end", () => {
        const isOurs = answer.statusCode === 200 && /"status":"ok"/.test(text);
        end(isOurs ? undefined : `it answers ${answer.statusCode}, not as this server does`);
      });
    });
    asked.end();
  });
}
