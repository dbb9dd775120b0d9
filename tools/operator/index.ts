import type { Tool } from "../call/tool.ts";
import {
  approveAlias,
  listWaitingAliases,
  refuseAlias,
  setApprovedDomains,
  setPostmaster,
} from "./aliases.ts";
import { apply, planApplyTool } from "./apply/apply.ts";
import { importMailboxes, planImportTool } from "./import/import.ts";
import { listNodeDetails } from "./nodes/list-node-details.ts";
import { listWithheld } from "./nodes/list-withheld.ts";
import { acceptRemovals, removeNode, rotateKey, setNode } from "./nodes/nodes.ts";
import { addOAuthClient, listOAuthClients, removeOAuthClient } from "./oauth/clients.ts";
import { listGrants, revokeGrant } from "./oauth/grants.ts";
import { readAudit } from "./read-audit.ts";
import { rotateDkim } from "./rotate-dkim.ts";
import { setDomainLimits, setUserLimits } from "./sending-limits.ts";
import { setOperatorPassword } from "./set-password.ts";
import { createToken, listTokens, revokeToken } from "./tokens.ts";
import { listInactive } from "./users/list-inactive.ts";
import { listLimited } from "./users/list-limited.ts";
import { listWeak } from "./users/list-weak.ts";
import { purgeUser } from "./users/purge-user.ts";
import { renameUser } from "./users/rename-user.ts";
import { restoreUser } from "./users/restore-user.ts";
import { showUser } from "./users/show-user.ts";

/** The operator's own operations, for the shell and the page. call() runs them; no other door offers them. */
export const operatorTools = {
  showUser,
  renameUser,
  restoreUser,
  listNodeDetails,
  listInactive,
  listLimited,
  listWeak,
  listWithheld,
  purgeUser,
  setUserLimits,
  setDomainLimits,
  setNode,
  rotateKey,
  acceptRemovals,
  removeNode,
  createToken,
  listTokens,
  revokeToken,
  readAudit,
  setOperatorPassword,
  addOAuthClient,
  listOAuthClients,
  removeOAuthClient,
  listGrants,
  revokeGrant,
  planImport: planImportTool,
  importMailboxes,
  planApply: planApplyTool,
  apply,
  approveAlias,
  refuseAlias,
  listWaitingAliases,
  setApprovedDomains,
  setPostmaster,
  rotateDkim,
} satisfies Record<string, Tool>;
