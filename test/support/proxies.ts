import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { textOf } from "../docs/pages.ts";
import { onFreePorts } from "../mail/ports.ts";
import { until } from "../mail/processes.ts";
import { shipped } from "../mail/shipped.ts";
import { certificate } from "./certificate.ts";
import { temporaryFolder } from "./store.ts";

/** The reverse proxies that deploy/ has a configuration for, and the paths of their programs on Debian. */
export const proxies = { nginx: "/usr/sbin/nginx", caddy: "/usr/bin/caddy" } as const;

export type ProxyKind = keyof typeof proxies;

export interface ReverseProxy {
  url: string;
  /** The proxy's self-signed certificate. */
  ca: Buffer;
}

export function isInstalled(kind: ProxyKind): boolean {
  if (existsSync(proxies[kind])) return true;
  process.stderr.write(`The tests of ${kind} are skipped: no ${proxies[kind]}. apt-get install ${kind}\n`);
  return false;
}

/** Starts Caddy in front of two servers, with the lines that docs/postgresql.md adds to the shipped configuration. */
export function startBalancer(upstreams: readonly [string, string]): Promise<ReverseProxy> {
  const [, block = ""] = /^```caddyfile\n(.*?)^```$/ms.exec(textOf("docs/postgresql.md")) ?? [];
  const [one, two] = upstreams.map((upstream) => new URL(upstream).host);
  const lines = block.replace("192.0.2.11:8625 192.0.2.12:8625", `${one} ${two}`);
  const { cert, key } = certificate();
  const files = { cert, key, folder: temporaryFolder() };
  return onFreePorts(["https"], async ({ https }) => {
    const child = caddy(files, { "\treverse_proxy 127.0.0.1:8625 {\n": lines }, https);
    await untilListening(child, https);
    return { url: `https://localhost:${https}`, ca: readFileSync(cert) };
  });
}

/**
 * Starts a proxy with the shipped configuration in front of the server at `upstream`, until the test ends.
 * Only the name, the certificate and the ports are replaced, and everything is on loopback.
 */
export function startProxy(kind: ProxyKind, upstream: string): Promise<ReverseProxy> {
  const { cert, key } = certificate();
  const folder = temporaryFolder();
  const server = new URL(upstream).host;
  return onFreePorts(["https"], async ({ https }) => {
    const files = { cert, key, folder };
    const child =
      kind === "nginx" ? nginx(files, server, https) : caddy(files, { "127.0.0.1:8625": server }, https);
    await untilListening(child, https);
    return { url: `https://localhost:${https}`, ca: readFileSync(cert) };
  });
}

interface Files {
  cert: string;
  key: string;
  folder: string;
}

function nginx({ cert, key, folder }: Files, server: string, port: number): ChildProcess {
  const site = shipped("nginx-m25-mail.conf", {
    "listen 443 ssl;": `listen 127.0.0.1:${port} ssl;`,
    "listen [::]:443 ssl;": "",
    "mail-admin.example.nl": "localhost",
    "/etc/ssl/m25-mail/fullchain.pem": cert,
    "/etc/ssl/m25-mail/privkey.pem": key,
    "127.0.0.1:8625": server,
  });
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => {
    mkdirSync(join(folder, name), { recursive: true });
    return `${name}_temp_path ${join(folder, name)};`;
  });
  writeFileSync(join(folder, "site.conf"), site);
  writeFileSync(
    join(folder, "nginx.conf"),
    `daemon off; pid ${folder}/pid; error_log stderr warn; ${process.getuid?.() === 0 ? "user root;" : ""}
events {}
http { access_log off; ${paths.join(" ")} include ${folder}/site.conf; }
`,
  );
  return start(proxies.nginx, ["-p", folder, "-c", join(folder, "nginx.conf")], {});
}

function caddy({ cert, key, folder }: Files, upstream: Record<string, string>, port: number): ChildProcess {
  const file = join(folder, "Caddyfile");
  const site = shipped("Caddyfile", {
    "\tservers {": "\tadmin off\n\tskip_install_trust\n\tauto_https disable_redirects\n\tservers {",
    "mail-admin.example.nl {": `https://localhost:${port} {\n\tbind 127.0.0.1\n\ttls ${cert} ${key}`,
    ...upstream,
  });
  writeFileSync(file, site);
  const home = { HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder };
  return start(proxies.caddy, ["run", "--config", file, "--adapter", "caddyfile"], home);
}

function start(program: string, args: readonly string[], environment: Record<string, string>): ChildProcess {
  const child = spawn(program, args, {
    env: { ...process.env, ...environment },
    stdio: ["ignore", "ignore", "pipe"],
  });
  onTestFinished(async () => {
    if (child.exitCode !== null) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    await gone;
  });
  return child;
}

/** Waits until something answers on the port. Throws the program's output if it ends instead. */
async function untilListening(child: ChildProcess, port: number): Promise<void> {
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  await until(`a proxy at ${port}`, async () => {
    if (child.exitCode !== null) throw new Error(`the proxy ended: ${said}`);
    return new Promise((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket
        .on("error", () => resolve(false))
        .on("connect", () => socket.destroy())
        .on("close", () => resolve(true));
    });
  });
}
