import { readdir } from "node:fs/promises";
import { isConffile, readText } from "../../machine/files.ts";
import type { Host } from "../../machine/host.ts";
import { isDebiansMainCf } from "./configurations.ts";

/** The file of a package from which its installation made this one. */
const originals: Readonly<Record<string, string>> = {
  "/etc/postfix/master.cf": "/usr/share/postfix/master.cf.dist",
  "/etc/dovecot/dovecot.conf": "/usr/share/dovecot/dovecot.conf",
};

/** Files that come with a package. */
const conffiles: Readonly<Record<string, string>> = {
  "/etc/opendkim.conf": "opendkim",
  "/etc/nftables.conf": "nftables",
};

/** True for a file that the installation of Debian's packages wrote, and nobody has changed since. */
export async function isFromDebian(host: Host, path: string, text: string): Promise<boolean> {
  if (path === "/etc/postfix/main.cf") {
    const names = ["main.cf.debian", "main.cf.tls"].map((name) => host.at(`/usr/share/postfix/${name}`));
    const parts = await Promise.all(names.map(readText));
    return isDebiansMainCf(text, parts.join("\n"));
  }
  const owner = conffiles[path];
  if (owner !== undefined) return await isConffile(host, owner, path, text);
  const original = originals[path];
  if (original === undefined || (await readText(host.at(original))) !== text) return false;
  return path !== "/etc/dovecot/dovecot.conf" || (await hasDebiansConfD(host));
}

/** Debian's dovecot.conf reads conf.d, where somebody's settings may be. */
async function hasDebiansConfD(host: Host): Promise<boolean> {
  const names = await readdir(host.at("/etc/dovecot/conf.d")).catch(() => []);
  const same = await Promise.all(
    names.map(async (name) => {
      const [own, debians] = await Promise.all(
        ["/etc/dovecot", "/usr/share/dovecot"].map((folder) => readText(host.at(`${folder}/conf.d/${name}`))),
      );
      return own === debians;
    }),
  );
  return !same.includes(false);
}
