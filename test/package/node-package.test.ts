import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { debianPackage } from "../../scripts/debian-package.ts";
import { nodePackage } from "../../scripts/node-package.ts";
import { nodePackageFile } from "../../src/program/node-package.ts";
import { temporaryFolder } from "../support/store.ts";

const root = join(import.meta.dirname, "../..");
const built = join(root, "dist", nodePackageFile);
const withDpkg = hasDpkg() ? test : test.skip;

function hasDpkg(): boolean {
  try {
    execFileSync("dpkg-deb", ["--version"]);
    return true;
  } catch {
    return false;
  }
}

test("the same sources give the same bytes", () => {
  expect(nodePackage(join(root, "dist")).equals(readFileSync(built))).toBe(true);
});

withDpkg("dpkg unpacks the program, the files that a node needs, and none of the server's", () => {
  const folder = temporaryFolder();
  execFileSync("dpkg-deb", ["--extract", built, folder]);
  expect(readFileSync(join(folder, "usr/bin/m25-mail-node"))).toEqual(
    readFileSync(join(root, "dist/m25-mail-node.mjs")),
  );
  expect(statSync(join(folder, "usr/bin/m25-mail-node")).mode & 0o777).toBe(0o755);
  const packed = readdirSync(folder, { recursive: true, encoding: "utf8" }).map((path) =>
    path.split("/").at(-1),
  );
  for (const name of readdirSync(join(root, "deploy"))) {
    const isServers = /^(m25-mail$|m25-mail\.|server|patroni|Caddy|nginx|README)/.test(name);
    const isRenamed = /^m25-mail-node\.(sysusers|tmpfiles)/.test(name);
    expect([name, packed.includes(name)]).toEqual([name, !isServers && !isRenamed]);
  }
  const unit = readFileSync(join(folder, "usr/lib/systemd/system/m25-mail-node.service"), "utf8");
  expect(unit).toContain("ExecStart=/usr/bin/m25-mail-node run\n");
});

withDpkg("a package of any file sizes and links is one that dpkg reads", () => {
  const folder = temporaryFolder();
  const sizes = [0, 1, 511, 512, 513, 100_000];
  const control =
    "Package: probe\nVersion: 1\nArchitecture: all\nMaintainer: probe <probe@example.invalid>\nDescription: probe\n";
  const files = sizes.map((size) => ({ path: `/usr/share/probe/${size}`, content: Buffer.alloc(size, "x") }));
  const file = join(folder, "probe.deb");
  writeFileSync(
    file,
    debianPackage({ control }, [...files, { path: "/usr/bin/probe", content: { link: "../share/probe/1" } }]),
  );
  const out = join(folder, "out");
  mkdirSync(out);
  execFileSync("dpkg-deb", ["--extract", file, out]);
  for (const size of sizes) expect(statSync(join(out, "usr/share/probe", String(size))).size).toBe(size);
  expect(readFileSync(join(out, "usr/bin/probe"), "utf8")).toBe("x");
});
