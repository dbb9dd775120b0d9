import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { stateOf, user } from "./answers.ts";
import { temporaryFolder } from "./folder.ts";
import {
  type Answer,
  expectedOf,
  type FakeServer,
  type Node,
  nodeOf,
  serves,
  startServer,
} from "./support.ts";

const one = stateOf(1, ["example.nl"], [user("jan@example.nl")]);

/** A self-signed certificate for `name`; undefined if openssl is not installed. */
function certificate(name: string): { key: string; certificate: string } | undefined {
  const folder = temporaryFolder();
  const [key, file] = [join(folder, "key.pem"), join(folder, "certificate.pem")];
  const made = spawnSync("openssl", [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-days",
    "2",
    "-subj",
    "/CN=test",
    "-addext",
    `subjectAltName=${name}`,
    "-keyout",
    key,
    "-out",
    file,
  ]);
  return made.status === 0 ? { key, certificate: file } : undefined;
}

const openssl = spawnSync("openssl", ["version"]).status === 0;

async function secured(name: string): Promise<{ server: FakeServer; node: Node; ca: string }> {
  const made = certificate(name);
  if (made === undefined) throw new Error("openssl made no certificate");
  const tls = { key: readFileSync(made.key), cert: readFileSync(made.certificate) };
  const server = await startServer(one, (listener: Answer) => createServer(tls, listener));
  server.url.protocol = "https:";
  return { server, node: nodeOf(server), ca: made.certificate };
}

describe.skipIf(!openssl)("over HTTPS (skipped where openssl is not installed)", () => {
  it("trusts the authority that --ca names", async () => {
    const { node, ca } = await secured("IP:127.0.0.1");
    node.config.caFile = ca;
    expect(await node.poll()).toMatchObject({ exitCode: 0, reported: true });
    expect(serves(node.config.out)).toEqual(expectedOf(one));
  });

  it("sends its key to no server without a trusted certificate, whatever the environment says", async () => {
    const { server, node } = await secured("IP:127.0.0.1");
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
    try {
      expect((await node.poll()).exitCode).toBe(78);
    } finally {
      delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    }
    expect(server.requests).toEqual([]);
    expect(node.log).toEqual([expect.stringMatching(/SELF_SIGNED_CERT.*with --ca FILE/)]);
  });

  it("sends its key to no server with another's certificate", async () => {
    const { server, node, ca } = await secured("DNS:other.example");
    node.config.caFile = ca;
    expect((await node.poll()).exitCode).toBe(78);
    expect(server.requests).toEqual([]);
    expect(node.log).toEqual([expect.stringContaining("for another name: give --server")]);
  });
});
