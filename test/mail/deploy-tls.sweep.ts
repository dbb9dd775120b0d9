/** Tests the TLS versions that the configuration in deploy/ accepts, with openssl as the client. */
import { appendFileSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { deployedDaemons } from "./deployed.ts";
import { mailDaemons } from "./lab.ts";
import { mustRun, run, until } from "./processes.ts";
import { shipped } from "./shipped.ts";

const daemons = mailDaemons();
const services = ["smtp", "submission", "submissions", "imaps"] as const;

describe.skipIf(!daemons.available)("TLS with the shipped configuration", () => {
  const node = deployedDaemons({ tls: "shipped" });

  /** Returns the version negotiated with a client that accepts any; undefined if the server refuses. */
  const negotiated = async (service: (typeof services)[number], version: string) => {
    const starttls = service === "smtp" || service === "submission" ? ["-starttls", "smtp"] : [];
    const address = ["-connect", `127.0.0.1:${node.lab.ports[service]}`, ...starttls];
    const client = ["s_client", "-brief", `-${version}`, "-cipher", "ALL:@SECLEVEL=0", ...address];
    const { stderr, stdout } = await run("sh", "-c", 'exec openssl "$@" </dev/null', "sh", ...client);
    return /^Protocol version: (\S+)$/m.exec(stderr + stdout)?.[1];
  };

  test.each(services)("%s accepts TLS 1.2 and refuses 1.1 and 1.0", async (service) => {
    expect(await negotiated(service, "tls1_2")).toBe("TLSv1.2");
    expect(await negotiated(service, "tls1_1")).toBeUndefined();
    expect(await negotiated(service, "tls1")).toBeUndefined();
  });

  test("without our settings Postfix accepts TLS 1.1 from the same client, so our settings refuse it", async () => {
    const config = node.lab.postfixConfigDir;
    await mustRun("postconf", "-c", config, "-X", "smtpd_tls_protocols", "smtpd_tls_mandatory_protocols");
    utimesSync(join(config, "main.cf"), 1, 1);
    await mustRun("postfix", "-c", config, "reload");
    for (const service of ["smtp", "submission", "submissions"] as const)
      await until(
        `${service} takes TLS 1.1`,
        async () => (await negotiated(service, "tls1_1")) === "TLSv1.1",
      );
  });

  test("our setting makes Dovecot refuse TLS 1.1, not only OpenSSL's security level", async () => {
    // OpenSSL's default level refuses TLS 1.1 by itself. Without that level only our setting does.
    const set = async (setting: string) => {
      appendFileSync(node.lab.dovecotConfig, `\n${setting}\n`);
      await node.lab.doveadm("reload");
    };
    const imaps = () => negotiated("imaps", "tls1_1");
    await set("ssl_cipher_list = ALL:@SECLEVEL=0\nssl_min_protocol = TLSv1");
    await until("imaps takes TLS 1.1", async () => (await imaps()) === "TLSv1.1");
    const [ours = ""] = /^ssl_min_protocol.*$/m.exec(shipped("dovecot-2.3.conf")) ?? [];
    await set(ours);
    await until("imaps refuses TLS 1.1", async () => (await imaps()) === undefined);
    expect(await negotiated("imaps", "tls1_2")).toBe("TLSv1.2");
  });
});
