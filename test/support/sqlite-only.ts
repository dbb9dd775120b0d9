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
  // HTTP and MCP around a call: connections, limits, hosts, proxies, forms of input and of answers, which tools there are.
  "test/doors/{client-address,guards,input,limits,mcp,mcp-clients,mcp-params,opened-links,parity,passwords-at-once,proxies,rate-limits,rest,starvation,tool-sets,wake-throttle}.test.ts",
  // The log, the shell's words and the clock of logins.
  "test/doors/{cli-call,log,terminal}.test.ts",
  "test/auth/{login-delays,oauth-conformance}.test.ts",
  // The forms of OAuth's requests and pages: oauth-flow, oauth-endings and oauth-step-up have what is stored.
  "test/auth/{oauth-consent,oauth-requests}.test.ts",
];
