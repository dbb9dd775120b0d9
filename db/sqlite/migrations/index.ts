import { start } from "./0001-start.ts";
import { contacts } from "./0002-contacts.ts";
import { tokenDomains } from "./0003-token-domains.ts";
import { audit } from "./0004-audit.ts";
import { inactiveUsers } from "./0005-inactive-users.ts";
import { oauth } from "./0006-oauth.ts";
import { oauthRequests } from "./0007-oauth-requests.ts";
import { firstToken } from "./0008-first-token.ts";
import { operatorsKeys } from "./0009-operators-keys.ts";
import { refusedContacts } from "./0010-refused-contacts.ts";
import { reportedParts } from "./0011-reported-parts.ts";
import { acceptances } from "./0012-acceptances.ts";
import { userSearch } from "./0013-user-search.ts";
import { hiddenDomains } from "./0014-hidden-domains.ts";
import { auditOrigin } from "./0015-audit-origin.ts";
import { endedKeys } from "./0016-ended-keys.ts";
import { heldHashes } from "./0017-held-hashes.ts";
import { passwordLinks } from "./0018-password-links.ts";
import { aliases } from "./0019-aliases.ts";
import { nodeHosts } from "./0020-node-hosts.ts";
import { appPasswords } from "./0021-app-passwords.ts";
import { weakHashes } from "./0022-weak-hashes.ts";
import { weakUsers } from "./0023-weak-users.ts";
import { withheld } from "./0024-withheld.ts";
import { dkimKeys } from "./0025-dkim-keys.ts";
import { timeline } from "./0026-timeline.ts";
import { failedChecks } from "./0027-failed-checks.ts";
import { sendingLimits } from "./0028-sending-limits.ts";
import { mailboxUsage } from "./0029-mailbox-usage.ts";
import { mailboxSizes } from "./0030-mailbox-sizes.ts";
import { addDigests } from "./0031-add-digests.ts";

/** Append-only. A database of version n has run the first n of these; user_version stores n. */
export const migrations: readonly string[] = [
  start,
  contacts,
  tokenDomains,
  audit,
  inactiveUsers,
  oauth,
  oauthRequests,
  firstToken,
  operatorsKeys,
  refusedContacts,
  reportedParts,
  acceptances,
  userSearch,
  hiddenDomains,
  auditOrigin,
  endedKeys,
  heldHashes,
  passwordLinks,
  aliases,
  nodeHosts,
  appPasswords,
  weakHashes,
  weakUsers,
  withheld,
  dkimKeys,
  timeline,
  failedChecks,
  sendingLimits,
  mailboxUsage,
  mailboxSizes,
  addDigests,
];
