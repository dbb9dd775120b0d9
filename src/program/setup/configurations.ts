import type { ManagedFile } from "../../machine/file-plan.ts";

/** The programs that may speak TLS for the server: a proxy that setup sets up, another one, or the server itself. */
export const proxies = ["caddy", "nginx", "other", "none"] as const;

export type ProxyName = (typeof proxies)[number];

/** The answers that the files depend on. */
export interface Answers {
  /** The server's public name. */
  hostName: string;
  proxy: ProxyName;
  /** How Caddy gets its certificate: `its own` from Let's Encrypt, or from another authority. */
  caddy: { certificate: "its own" | "from files" | "self-signed"; acmeServer?: string };
}

/** The server's own: the node's is in /etc/ssl/m25-mail. */
export const CERTIFICATE_FOLDER = "/etc/ssl/m25-mail-server";
export const CADDYFILE = "/etc/caddy/Caddyfile";
export const NGINX_SITE = "/etc/nginx/sites-available/m25-mail";
export const OWN_TLS = "/etc/systemd/system/m25-mail.service.d/tls.conf";
const OWN_SITES = "/etc/caddy/conf.d/*.caddyfile";
/** The name in the files of deploy/. */
const EXAMPLE = "mail-admin.example.nl";

/** Where an operator's own settings belong. */
export const ADVICE =
  `Put your own settings of the service into /etc/systemd/system/m25-mail.service.d/*.conf, and your own sites of Caddy into ${OWN_SITES}; ` +
  "for a proxy that you set up yourself, give --proxy other. To let setup write its files all the same";

/** All files of the server behind this proxy. */
export function configurations(answers: Answers, shipped: Readonly<Record<string, string>>): ManagedFile[] {
  const { hostName, proxy } = answers;
  const files = [
    { path: "/usr/lib/sysusers.d/m25-mail.conf", text: shipped["m25-mail.sysusers.conf"] ?? "" },
    { path: "/etc/systemd/system/m25-mail.service", text: shipped["m25-mail.service"] ?? "" },
  ];
  if (proxy === "none") return [...files, { path: OWN_TLS, text: ownTls }];
  if (proxy === "caddy")
    return [...files, { path: CADDYFILE, text: caddyfile(answers, shipped.Caddyfile ?? "") }];
  if (proxy === "other") return files;
  const site = (shipped["nginx-m25-mail.conf"] ?? "")
    .replaceAll(`server_name ${EXAMPLE};`, `server_name ${hostName};`)
    .replaceAll("/etc/ssl/m25-mail/", `${CERTIFICATE_FOLDER}/`);
  return [...files, { path: NGINX_SITE, text: `# Written by m25-mail setup.\n${site}` }];
}

/** systemd copies the files as root, because only root can read the key. */
const ownTls = `# Written by m25-mail setup: the server speaks TLS itself. server.env may set another address or port.
[Service]
RuntimeDirectory=m25-mail
RuntimeDirectoryMode=0700
ExecStartPre=+/usr/bin/install -m 400 -o m25-mail -g m25-mail ${CERTIFICATE_FOLDER}/fullchain.pem ${CERTIFICATE_FOLDER}/privkey.pem /run/m25-mail
Environment=M25_MAIL_TLS_CERT=/run/m25-mail/fullchain.pem M25_MAIL_TLS_KEY=/run/m25-mail/privkey.pem
Environment=M25_MAIL_HOST=:: M25_MAIL_PORT=443
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
AmbientCapabilities=CAP_NET_BIND_SERVICE
`;

function caddyfile({ hostName, caddy }: Answers, shipped: string): string {
  const tls = {
    "its own": "",
    "from files": `\ttls ${CERTIFICATE_FOLDER}/fullchain.pem ${CERTIFICATE_FOLDER}/privkey.pem\n`,
    "self-signed": "\ttls internal\n",
  }[caddy.certificate];
  const authority = caddy.acmeServer === undefined ? "" : `\tacme_ca ${caddy.acmeServer}\n`;
  const text = shipped
    .replace(`${EXAMPLE} {\n`, () => `${hostName} {\n${tls}`)
    .replace(/^\{\n/m, () => `{\n${authority}`);
  return `# Written by m25-mail setup. Your own sites belong into ${OWN_SITES}.\n${text}\nimport ${OWN_SITES}\n`;
}
