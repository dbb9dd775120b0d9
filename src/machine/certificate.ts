import { X509Certificate } from "node:crypto";
import { chmod, mkdir, readlink, rename, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { ConfigurationError, onOneLine } from "./faults.ts";
import { readText } from "./files.ts";
import type { Host } from "./host.ts";
import { runQuietly } from "./machine.ts";
import type { Finding } from "./table.ts";

const NAMES = ["fullchain.pem", "privkey.pem"];

/** How the operator wants a certificate. */
export interface CertificateWishes {
  /** Folder of a certificate and its key. */
  certificate: string | undefined;
  certbot: boolean;
  acmeServer: string | undefined;
  selfSigned: boolean;
}

/** Where a certificate is needed. */
export interface CertificatePlace {
  /** The name that it is for. */
  name: string;
  /** Gets fullchain.pem and privkey.pem. */
  folder: string;
  /** The command that makes the services read a renewed certificate. */
  reload: string;
  /** The service on port 80, which certbot stops for a moment. */
  stopped?: string | undefined;
}

const WAYS =
  "--certbot gets one from Let's Encrypt (port 80 must be open, and the name must lead to this machine); " +
  "--certificate DIR uses fullchain.pem and privkey.pem in a folder; --self-signed makes one that other programs warn about";

/** The certificate in a folder; undefined if there is none. */
export async function readCertificate(host: Host, folder: string): Promise<X509Certificate | undefined> {
  const pem = await readText(host.at(join(folder, NAMES[0] ?? "")));
  try {
    return pem === undefined ? undefined : new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

/**
 * Asks for leave to get a certificate by certbot, if there is none and no other wish.
 *
 * @returns the wishes with the answer
 * @throws ConfigurationError without a yes
 */
export async function agreeOnCertificate(
  host: Host,
  wishes: CertificateWishes,
  { folder }: CertificatePlace,
): Promise<CertificateWishes> {
  if (wishes.certificate !== undefined || wishes.certbot || wishes.selfSigned) return wishes;
  if ((await readCertificate(host, folder)) !== undefined) return wishes;
  const agreed = await host.ask(
    "There is no certificate. Get one from Let's Encrypt by certbot, and agree to its terms of service? [y/N] ",
  );
  if (!/^y(es)?$/i.test(agreed ?? ""))
    throw new ConfigurationError(`there is no certificate in ${folder}: ${WAYS}`);
  return { ...wishes, certbot: true };
}

/**
 * Provides the certificate that is wished for, unless there is one for the name.
 *
 * @throws ConfigurationError
 */
export async function provideCertificate(
  host: Host,
  wishes: CertificateWishes,
  place: CertificatePlace,
): Promise<void> {
  const found = await readCertificate(host, place.folder);
  if (wishes.certificate !== undefined) return await link(host, wishes.certificate, place.folder);
  const fits =
    found?.checkHost(place.name) !== undefined && Date.parse(found.validTo) > host.machine.clock.now();
  if (wishes.certbot && !(fits && !isSelfSigned(found))) return await runCertbot(host, wishes, place);
  if (wishes.selfSigned && !fits) return await signOwn(host, place);
}

function isSelfSigned({ issuer, subject }: X509Certificate): boolean {
  return issuer === subject;
}

/** Links, not copies: a renewal replaces the files that they lead to. */
async function link(host: Host, from: string, folder: string): Promise<void> {
  for (const name of NAMES)
    if ((await readText(join(from, name))) === undefined)
      throw new ConfigurationError(`--certificate ${from} has no ${name}`);
  const targets = NAMES.map((name) => host.at(join(folder, name)));
  const now = await Promise.all(targets.map((path) => readlink(path).catch(() => undefined)));
  const wanted = NAMES.map((name) => join(from, name));
  if (now.join("\n") === wanted.join("\n")) return;
  await mkdir(host.at(folder), { recursive: true });
  for (const [index, target] of targets.entries()) {
    await rm(`${target}.new`, { force: true });
    await symlink(wanted[index] ?? "", `${target}.new`);
    await rename(`${target}.new`, target);
  }
}

async function runCertbot(
  host: Host,
  { acmeServer }: CertificateWishes,
  { name, folder, reload, stopped }: CertificatePlace,
): Promise<void> {
  const certbot = await host.machine.find("certbot");
  if (certbot === undefined)
    throw new ConfigurationError("certbot is not installed (Debian: apt-get install certbot)");
  host.machine.log(`certbot asks for a certificate for ${name}`);
  const account = ["--agree-tos", "--register-unsafely-without-email"];
  const server = acmeServer === undefined ? [] : ["--server", acmeServer];
  const words = ["certonly", "--non-interactive", "--standalone", "--cert-name", name, "-d", name];
  const hooks = ["--deploy-hook", reload];
  if (stopped !== undefined)
    hooks.push("--pre-hook", `systemctl stop ${stopped}`, "--post-hook", `systemctl start ${stopped}`);
  const command = [certbot, ...words, ...account, ...server, ...hooks];
  const { code, stderr } = await runQuietly(host.machine, command, 300_000);
  if (code !== 0)
    throw new ConfigurationError(
      `certbot got no certificate for ${name}: ${onOneLine(stderr)} Does the name lead to this machine, and is its port 80 open? ` +
        "Mend that, and run setup again; or go on for now with --self-signed",
    );
  return await link(host, host.at(`/etc/letsencrypt/live/${name}`), folder);
}

async function signOwn(host: Host, { name, folder }: CertificatePlace): Promise<void> {
  await mkdir(host.at(folder), { recursive: true });
  const [certificate = "", key = ""] = NAMES.map((file) => host.at(join(folder, file)));
  const algorithm = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const names = ["-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`];
  const files = ["-keyout", `${key}.new`, "-out", `${certificate}.new`];
  const command = ["openssl", "req", "-x509", "-days", "3650", ...algorithm, ...names, ...files];
  const { code, stderr } = await runQuietly(host.machine, command);
  if (code !== 0) throw new ConfigurationError(`openssl made no certificate: ${onOneLine(stderr)}`);
  await chmod(`${key}.new`, 0o600);
  await rename(`${key}.new`, key);
  await rename(`${certificate}.new`, certificate);
}

const DAY = 86_400_000;
/** certbot renews 30 days before the end. */
const RENEWAL_IS_LATE = 14 * DAY;

/** @param advice what to do where there is none for the name, or its renewal is late; who does not trust a self-signed one */
export function checkCertificate(
  found: X509Certificate | undefined,
  name: string,
  now: number,
  advice: { missing: string; late: string; selfSigned: string },
): Finding {
  if (found === undefined) return { state: "not_ok", found: "there is none", todo: advice.missing };
  const left = Date.parse(found.validTo) - now;
  const days = `${Math.floor(left / DAY)} days left`;
  if (found.checkHost(name) === undefined)
    return { state: "not_ok", found: `it is not for ${name}`, todo: advice.missing };
  if (left < RENEWAL_IS_LATE) return { state: "not_ok", found: days, todo: advice.late };
  return { state: "ok", found: isSelfSigned(found) ? `${days}; self-signed: ${advice.selfSigned}` : days };
}
