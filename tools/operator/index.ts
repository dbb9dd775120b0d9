import type { Tool } from "../tool.ts";
import { listFleet } from "./list-fleet.ts";
import { listWithheld } from "./list-withheld.ts";
import { acceptRemovals, removeNode, rotateKey, setNode } from "./nodes.ts";
import { addOAuthClient, listOAuthClients, removeOAuthClient } from "./oauth-clients.ts";
import { listGrants, revokeGrant } from "./oauth-grants.ts";
import { purgeUser } from "./purge-user.ts";
import { readAudit } from "./read-audit.ts";
import { restoreUser } from "./restore-user.ts";
import { setOperatorPassword } from "./set-password.ts";
import { setQuota } from "./set-quota.ts";
import { createToken, listTokens, revokeToken } from "./tokens.ts";

/** What only the operator may do, at the server's shell and page: run by call() like the nine, offered by no other door. */
export const operatorTools = {
  setQuota,
  restoreUser,
  listFleet,
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
} satisfies Record<string, Tool>;
