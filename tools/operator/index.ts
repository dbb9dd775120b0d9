import type { Tool } from "../call/tool.ts";
import { approveAlias, listWaitingAliases, setApprovedDomains, setPostmaster } from "./aliases.ts";
import { apply, planApplyTool } from "./apply.ts";
import { importMailboxes, planImportTool } from "./import.ts";
import { listFleet } from "./list-fleet.ts";
import { listInactive } from "./list-inactive.ts";
import { listWithheld } from "./list-withheld.ts";
import { acceptRemovals, removeNode, rotateKey, setNode } from "./nodes.ts";
import { addOAuthClient, listOAuthClients, removeOAuthClient } from "./oauth-clients.ts";
import { listGrants, revokeGrant } from "./oauth-grants.ts";
import { purgeUser } from "./purge-user.ts";
import { readAudit } from "./read-audit.ts";
import { renameUser } from "./rename-user.ts";
import { restoreUser } from "./restore-user.ts";
import { setOperatorPassword } from "./set-password.ts";
import { setQuota } from "./set-quota.ts";
import { createToken, listTokens, revokeToken } from "./tokens.ts";

/** The operator's own operations, for the shell and the page. call() runs them; no other door offers them. */
export const operatorTools = {
  setQuota,
  renameUser,
  restoreUser,
  listFleet,
  listInactive,
  listWithheld,
  purgeUser,
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
  listWaitingAliases,
  setApprovedDomains,
  setPostmaster,
} satisfies Record<string, Tool>;
