import { addDomain } from "./add-domain.ts";
import { addNode } from "./add-node.ts";
import { addUser } from "./add-user.ts";
import type { Tool } from "./call/tool.ts";
import { listDomains } from "./list-domains.ts";
import { listNodes } from "./list-nodes.ts";
import { listUsers } from "./list-users.ts";
import { removeDomain } from "./remove-domain.ts";
import { removeUser } from "./remove-user.ts";
import { updatePassword } from "./update-password.ts";

/** The nine operations, in the order in which every door shows them. */
export const tools: readonly Tool[] = [
  addDomain,
  removeDomain,
  listDomains,
  addUser,
  removeUser,
  listUsers,
  updatePassword,
  listNodes,
  addNode,
];

/** The tools that change nothing: --read-only offers only these. */
export const readOnlyTools: readonly Tool[] = tools.filter(({ effect }) => effect === "read");
