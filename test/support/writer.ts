/** A process that adds users: `node writer.ts DATABASE PREFIX COUNT`. */
import { openStore } from "../../db/sqlite/store.ts";
import { addUser } from "../../tools/add-user.ts";
import { call } from "../../tools/call/call.ts";
import { operator } from "../../tools/call/principal.ts";

const [file = "", prefix = "", count = "0"] = process.argv.slice(2);
const store = openStore(file, { create: false });
const runtime = {
  store,
  now: () => new Date(),
  hashPassword: async () => `{BLF-CRYPT}$2b$10$${".".repeat(53)}`,
  reportFailure: (_: string, error: unknown) => process.stderr.write(`${String(error)}\n`),
};
for (let index = 0; index < Number(count); index += 1) {
  const input = { email: `${prefix}${index}@example.nl`, password: "correct horse" };
  const outcome = await call(runtime, { principal: operator("cli"), tool: addUser, input });
  process.stdout.write(`${outcome.ok ? outcome.value.revision : outcome.error.code}\n`);
}
await store.close();
