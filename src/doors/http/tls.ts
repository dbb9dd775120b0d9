import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { UsageError } from "../../command-line/usage-error.ts";

/** @throws UsageError if the files cannot be read, or are not a certificate and its key */
export function readTls(tls: { certFile: string; keyFile: string }) {
  const pair = { cert: readPem("--tls-cert", tls.certFile), key: readPem("--tls-key", tls.keyFile) };
  try {
    createSecureContext(pair);
  } catch {
    throw new UsageError("--tls-cert and --tls-key must be a certificate and its private key, in PEM.");
  }
  return pair;
}

function readPem(flag: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch {
    throw new UsageError(`${flag} ${file} cannot be read.`);
  }
}
