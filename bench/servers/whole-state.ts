/** A node that takes a whole state, changed in each mailbox, when told so by IPC: `whole-state.ts FOLDER USERS`. */
import { hashOf, NodeReplica, whole } from "../states.ts";

const [folder = "", users = ""] = process.argv.slice(2);
const node = await NodeReplica.open(folder);
let revision = node.replica.meta?.revision ?? 0;
process.on("message", async () => {
  revision += 1;
  process.send?.(
    await node.take(whole({ users: Number(users) }, revision, hashOf(revision % 2 === 0 ? "a" : "b"))),
  );
});
process.once("SIGTERM", () => void node.close().then(() => process.exit()));
