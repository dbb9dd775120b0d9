import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { certificate } from "../support/certificate.ts";
import { http } from "../support/http.ts";
import { m25mail, serveProcess } from "../support/program.ts";

function files(): { cert: string; key: string; database: string } {
  const { cert, key, folder } = certificate();
  return { cert, key, database: join(folder, "m25-mail.db") };
}

test("with a certificate the server speaks HTTPS only", async () => {
  const { cert, key, database } = files();
  const server = await serveProcess(database, ["--tls-cert", cert, "--tls-key", key]);
  expect(server.url).toMatch(/^https:/);
  const ca = readFileSync(cert);
  expect((await http(`${server.url}/healthz`, { ca })).status).toBe(200);
  expect((await http(`${server.url}/api/list-domains`, { ca })).status).toBe(401);
  await expect(http(`${server.url}/healthz`)).rejects.toMatchObject({
    code: expect.stringMatching(/SELF_SIGNED/),
  });
  await expect(http(server.url.replace("https:", "http:"))).rejects.toThrow();
});

test.each([
  ["a certificate without its key", (files: { cert: string }) => ["--tls-cert", files.cert], 2, /--tls-key/],
  [
    "a missing certificate",
    (files: { key: string }) => ["--tls-cert", "/nowhere/cert.pem", "--tls-key", files.key],
    2,
    /\/nowhere\/cert\.pem/,
  ],
  [
    "an invalid key",
    (files: { cert: string; key: string }) => {
      writeFileSync(files.key, "no key");
      return ["--tls-cert", files.cert, "--tls-key", files.key];
    },
    2,
    /--tls-key/,
  ],
])("%s is reported in plain words", async (_what, flags, code, words) => {
  const paths = files();
  const answer = await m25mail(["serve", "--port", "0", "--db", paths.database, ...flags(paths)]);
  expect(answer).toMatchObject({ code, stdout: "" });
  expect(answer.stderr).toMatch(words);
  expect(answer.stderr).not.toMatch(/^ +at |bug/m);
});
