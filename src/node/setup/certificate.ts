import { X509Certificate } from "node:crypto";
import { chmod, mkdir, readlink, rename, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import type { SetupConfig } from "../config.ts";
import { ConfigurationError, onOneLine } from "../faults.ts";
import { runQuietly } from "../machine.ts";
import { readText } from "./files.ts";
import type { Host } from "./host.ts";

export const CERTIFICATE = "/etc/ssl/m25-mail/fullchain.pem";
const KEY = "/etc/ssl/m25-mail/privkey.pem";
const NAMES = ["fullchain.pem", "privkey.pem"];

const WAYS =
  "--certbot gets one from Let's Encrypt (port 80 must be open, and the name must lead to this machine); " +
  "--certificate DIR uses fullchain.pem and privkey.pem in a folder; --self-signed makes one that mail programs warn about";

/** The certificate of both daemons; undefined if there is none. */
export async function readCertificate(host: Host): Promise<X509Certificate | undefined> {
  const pem = await readText(host.at(CERTIFICATE));
  try {
    return pem === undefined ? undefined : new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

/**
 * Provides the certificate, unless there is one for the name.
 *
 * @throws ConfigurationError
 */
export async function provideCertificate(host: Host, config: SetupConfig, name: string): Promise<void> {
  const found = await readCertificate(host);
  if (config.certificate !== undefined) return await link(host, config.certificate);
  const fits = found?.checkHost(name) !== undefined && Date.parse(found.validTo) > host.machine.clock.now();
  if (config.certbot && fits && !isSelfSigned(found)) return;
  if (config.certbot) return await runCertbot(host, config, name);
  if (config.selfSigned && !fits) return await signOwn(host, name);
  if (found !== undefined) return;
  const agreed = await host.ask(
    "There is no certificate. Get one from Let's Encrypt by certbot, and agree to its terms of service? [y/N] ",
  );
  if (!/^y(es)?$/i.test(agreed ?? ""))
    throw new ConfigurationError(`there is no certificate in ${CERTIFICATE}: ${WAYS}`);
  return await runCertbot(host, config, name);
}

export function isSelfSigned({ issuer, subject }: X509Certificate): boolean {
  return issuer === subject;
}

/** Links, not copies: a renewal replaces the files that they lead to. */
async function link(host: Host, folder: string): Promise<void> {
  for (const name of NAMES)
    if ((await readText(join(folder, name))) === undefined)
      throw new ConfigurationError(`--certificate ${folder} has no ${name}`);
  const targets = [CERTIFICATE, KEY].map((path) => host.at(path));
  const now = await Promise.all(targets.map((path) => readlink(path).catch(() => undefined)));
  const wanted = NAMES.map((name) => join(folder, name));
  if (now.join("\n") === wanted.join("\n")) return;
  await makeFolder(host);
  for (const [index, target] of targets.entries()) {
    await rm(`${target}.new`, { force: true });
    await symlink(wanted[index] ?? "", `${target}.new`);
    await rename(`${target}.new`, target);
  }
}

async function runCertbot(host: Host, { acmeServer }: SetupConfig, name: string): Promise<void> {
  const certbot = await host.machine.find("certbot");
  if (certbot === undefined)
    throw new ConfigurationError("certbot is not installed (Debian: apt-get install certbot)");
  host.machine.log(`certbot asks for a certificate for ${name}`);
  const reload = "systemctl try-reload-or-restart postfix dovecot";
  const account = ["--agree-tos", "--register-unsafely-without-email"];
  const server = acmeServer === undefined ? [] : ["--server", acmeServer];
  const words = ["certonly", "--non-interactive", "--standalone", "--cert-name", name, "-d", name];
  const command = [certbot, ...words, ...account, ...server, "--deploy-hook", reload];
  const { code, stderr } = await runQuietly(host.machine, command, 300_000);
  if (code !== 0)
    throw new ConfigurationError(
      `certbot got no certificate for ${name}: ${onOneLine(stderr)} Does the name lead to this machine, and is its port 80 open? ` +
        "Mend that, and run setup again; or go on for now with --self-signed",
    );
  return await link(host, host.at(`/etc/letsencrypt/live/${name}`));
}

async function signOwn(host: Host, name: string): Promise<void> {
  await makeFolder(host);
  const [certificate, key] = [host.at(CERTIFICATE), host.at(KEY)];
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

async function makeFolder(host: Host): Promise<void> {
  await mkdir(host.at("/etc/ssl/m25-mail"), { recursive: true });
}
