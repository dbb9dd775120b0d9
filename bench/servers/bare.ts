import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** The lower bound: node:http that answers 304 and does nothing else. */
const etag = process.argv[2] ?? "";
const server = createServer({ keepAliveTimeout: 90_000 }, (_request, response) => {
  response.writeHead(304, { "cache-control": "no-store", etag });
  response.end();
});
server.listen(0, "127.0.0.1", () => {
  process.stderr.write(`serves http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});
process.once("SIGTERM", () => process.exit());
