import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { temporaryFolder } from "./store.ts";

/** Creates a self-signed certificate and its key, as files in a folder of their own. */
export function certificate(
  name = "localhost",
  address = "127.0.0.1",
): { cert: string; key: string; folder: string } {
  const folder = temporaryFolder();
  const cert = join(folder, "cert.pem");
  const key = join(folder, "key.pem");
  execFileSync(
    "openssl",
    [
      ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split(" "),
      ...["-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name},IP:${address}`],
      ...["-keyout", key, "-out", cert],
    ],
    { stdio: "ignore" },
  );
  return { cert, key, folder };
}
