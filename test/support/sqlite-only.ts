/** Tests of SQLite's own parts, which `npm run test:postgresql` leaves out. */
export const sqliteOnly = [
  // Its file: migrations, damage, full disks, bytes on the disk, processes that share it.
  "test/db/{append-only,backup,erasure,file,full-disk,plans,processes,restore,seed,upgrade}.test.ts",
  "test/doors/change-signal.test.ts",
];
