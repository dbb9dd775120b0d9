/** Tests of SQLite's own parts, which `npm run test:postgresql` leaves out. */
export const sqliteOnly = [
  // Its file: migrations, damage, full disks, bytes on the disk, plans, processes that share it.
  "test/db/{append-only,backup,erasure,file,full-disk,plans,restore,seed,upgrade}.test.ts",
  // The watch on its write-ahead log.
  "test/doors/change-signal.test.ts",
  // They read or lock its file: the secrets in it, its first token, programs that have it open.
  "test/{auth/oauth-secrets,doors/serve}.test.ts",
  // Programs that the tests start with --db FILE.
  "test/doors/{cli-oauth,cli-passwords,read-only,stdio,stdio-limits,tls}.test.ts",
];

/** Tests that PostgreSQL cannot change, which it leaves out to take minutes less. */
export const ofNoEngine = [
  // No database in them.
  "test/sync/**",
  "test/tools/call/{fair-queue,password-hash,weak-passwords}.test.ts",
  "test/tools/registry.test.ts",
  "test/doors/{line-reader,utf8,wording,openapi,node-package}.test.ts",
  // HTTP and MCP before a call begins: connections, limits, hosts, proxies, forms of input.
  "test/doors/{client-address,guards,input,limits,mcp-clients,mcp-params,parity,passwords-at-once,proxies,rate-limits,starvation,wake-throttle}.test.ts",
  // The log, the shell's words and the clock of logins.
  "test/doors/{cli-call,log}.test.ts",
  "test/auth/{login-delays,oauth-conformance}.test.ts",
];
