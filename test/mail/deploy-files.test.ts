/** Checks the files in deploy/, unchanged, with the programs that read them. */
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { mailDaemons } from "./lab.ts";
import { mustRun, run } from "./processes.ts";
import { agePostfixFiles, DEPLOY, writePostfixFiles } from "./shipped.ts";

const daemons = mailDaemons();

describe.skipIf(!daemons.available)("the shipped files, unchanged", () => {
  test.each(["postfix-main.cf", "postfix-mx.cf"])("Postfix knows every setting of %s", async (main) => {
    const folder = mkdtempSync(join(tmpdir(), "m25-postconf-"));
    try {
      writePostfixFiles(main, folder);
      agePostfixFiles(folder);
      const debian = readFileSync("/usr/share/postfix/master.cf.dist", "utf8");
      const appended =
        main === "postfix-mx.cf" ? "" : readFileSync(join(DEPLOY, "postfix-master.cf"), "utf8");
      writeFileSync(join(folder, "master.cf"), debian + appended);
      expect(await run("postconf", "-c", folder, "-n")).toMatchObject({ code: 0, stderr: "" });
      const services = await mustRun("postconf", "-c", folder, "-M");
      expect(/^submissions +inet +n +- +y /m.test(services)).toBe(appended !== "");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe.skipIf(!daemons.available)("Postfix's defaults that deploy/README.md keeps", () => {
  const page = readFileSync(join(DEPLOY, "README.md"), "utf8").split(
    "## Postfix's defaults that are kept",
  )[1];
  const kept = [...(page ?? "").matchAll(/^\| (`.*) \|.*\|$/gm)].flatMap(([, settings = ""]) =>
    settings.split("`, `").map((setting) => setting.replaceAll("`", "")),
  );

  test.each(["postfix-main.cf", "postfix-mx.cf"])("are in force with %s", async (main) => {
    const folder = mkdtempSync(join(tmpdir(), "m25-defaults-"));
    try {
      cpSync(join(DEPLOY, main), join(folder, "main.cf"));
      writeFileSync(join(folder, "master.cf"), "");
      agePostfixFiles(folder);
      const names = kept.map((setting) => setting.split(" =")[0] ?? "");
      expect(names.length).toBeGreaterThan(20);
      const settings = async (...options: readonly string[]) =>
        (await mustRun("postconf", "-c", folder, ...options, ...names)).split(/ *\n/).slice(0, -1);
      const [written, expanded] = [await settings(), await settings("-x")];
      // smtputf8_enable's default is an expression with compatibility_level.
      expect(kept.filter((setting, at) => setting !== written[at] && setting !== expanded[at])).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

const systemd = process.platform === "linux" && (await run("systemd-analyze", "--version")).code === 0;
if (!systemd)
  process.stderr.write("The systemd units are not checked: no systemd-analyze. apt-get install -y systemd\n");

describe.skipIf(!daemons.available)("the aliases for the system's own mail", () => {
  test.each(["postfix-main.cf", "postfix-mx.cf"])(
    "newaliases accepts an edited line with %s",
    async (main) => {
      const folder = mkdtempSync(join(tmpdir(), "m25-aliases-"));
      try {
        const aliases = join(folder, "aliases");
        const config = readFileSync(join(DEPLOY, main), "utf8").replace(":/etc/aliases", `:${aliases}`);
        writeFileSync(join(folder, "main.cf"), config);
        writeFileSync(join(folder, "master.cf"), "");
        agePostfixFiles(folder);
        for (const target of ["jan@example.nl", "anna@example.nl"]) {
          writeFileSync(aliases, `root: ${target}\n`);
          await mustRun("/usr/sbin/sendmail", `-C${folder}`, "-bi");
          const map = (await mustRun("postconf", "-c", folder, "-xh", "alias_maps")).trim();
          expect((await mustRun("postmap", "-c", folder, "-q", "root", map)).trim()).toBe(target);
        }
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  );
});

describe.skipIf(!systemd)("the systemd units", () => {
  const units = [
    "m25-mail.service",
    "m25-mail-node.service",
    "m25-mail-node-once.service",
    "m25-mail-node-once.timer",
    "m25-mail-node-check.service",
    "m25-mail-node-check.timer",
  ];
  const root = mkdtempSync(join(tmpdir(), "m25-units-"));

  beforeAll(() => {
    // systemd's own units, which ours name, and the programs, which are not installed here.
    cpSync("/usr/lib/systemd/system", join(root, "usr/lib/systemd/system"), {
      recursive: true,
      verbatimSymlinks: true,
    });
    mkdirSync(join(root, "etc/systemd/system"), { recursive: true });
    mkdirSync(join(root, "usr/local/bin"), { recursive: true });
    for (const program of ["m25-mail", "m25-mail-node"]) {
      writeFileSync(join(root, "usr/local/bin", program), "#!/bin/sh\n");
      chmodSync(join(root, "usr/local/bin", program), 0o755);
    }
    for (const unit of units) cpSync(join(DEPLOY, unit), join(root, "etc/systemd/system", unit));
  });

  afterAll(() => rmSync(root, { recursive: true, force: true }));

  const verify = (...names: readonly string[]) =>
    run("systemd-analyze", "verify", `--root=${root}`, "--man=no", ...names);

  test("systemd-analyze verify reports nothing about them", async () => {
    expect(await verify(...units)).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  test.each(units.filter((unit) => unit.endsWith(".service")))("%s has a memory limit", (unit) => {
    expect(readFileSync(join(DEPLOY, unit), "utf8")).toMatch(/^MemoryMax=[23]G$/m);
  });

  test("systemd-analyze verify would report a setting that does not exist", async () => {
    const unit = readFileSync(join(DEPLOY, "m25-mail.service"), "utf8").replace(
      "PrivateTmp=",
      "PrivateTemp=",
    );
    writeFileSync(join(root, "etc/systemd/system/misspelt.service"), unit);
    expect((await verify("misspelt.service")).stderr).toContain("PrivateTemp");
  });

  test("the mail's users and folder are created as the configuration expects", async () => {
    const install = (folder: string, name: string, as: string) =>
      cpSync(join(DEPLOY, name), join(root, `usr/lib/${folder}`, as), { recursive: true });
    install("sysusers.d", "m25-mail.sysusers.conf", "m25-mail.conf");
    install("sysusers.d", "m25-mail-node.sysusers.conf", "m25-mail-node.conf");
    install("tmpfiles.d", "m25-mail-node.tmpfiles.conf", "m25-mail-node.conf");
    await mustRun("systemd-sysusers", `--root=${root}`, "m25-mail.conf", "m25-mail-node.conf");
    expect(readFileSync(join(root, "etc/passwd"), "utf8")).toMatch(/^vmail:x:5000:5000:/m);
    expect(readFileSync(join(root, "etc/passwd"), "utf8")).toMatch(/^m25-mail:x:/m);
    if (process.getuid?.() !== 0) return;
    await mustRun("systemd-tmpfiles", `--root=${root}`, "--create", "m25-mail-node.conf");
    const access = async (path: string) => (await mustRun("stat", "-c", "%u:%g %a", join(root, path))).trim();
    expect(await access("var/vmail")).toBe("5000:5000 750");
    expect(await access("var/lib/m25-mail-logins")).toBe("5000:0 2750");
  });
});
