import fc from "fast-check";
import type { Store } from "../../db/store.ts";
import { proofFor } from "./owner.ts";

/** A mailbox as the model keeps it. */
export interface Mailbox {
  password: string;
  quota: number;
  /** Its own limit of recipients in an hour. */
  limit: number | "default";
  active: boolean;
  /** The names of its app passwords. */
  apps: readonly string[];
}
export type Model = Map<string, Map<string, Mailbox>>;

export interface Call {
  endpoint: string;
  input: Record<string, unknown>;
}

const OWNER_CALLS = ["make-app-password", "end-app-password", "change-own-password"];

/** The call as an owner who has signed in makes it. */
export async function signedIn(store: Store, { endpoint, input }: Call): Promise<Call> {
  if (!OWNER_CALLS.includes(endpoint)) return { endpoint, input };
  return { endpoint, input: { ...input, proof: await proofFor(store, String(input.email)) } };
}

/**
 * Applies a call to the model. Returns the code of the refusal, or whether nodes must serve something else
 * now.
 */
export function expected(model: Model, { endpoint, input }: Call): "changed" | "unchanged" | string {
  const [localPart = "", domain = String(input.domain)] = String(input.email ?? "").split("@");
  const users = model.get(input.email === undefined ? String(input.domain) : domain);
  const user = users?.get(localPart);
  const password = String(input.password);
  switch (endpoint) {
    case "add-domain":
      if (users !== undefined) return "domain_exists";
      model.set(String(input.domain), new Map());
      return "changed";
    case "remove-domain":
      if (users === undefined) return "domain_not_found";
      if ([...users.values()].some(({ active }) => active)) return "domain_has_active_users";
      model.delete(String(input.domain));
      return "changed";
    case "add-user": {
      if (users === undefined) return "domain_not_found";
      if (user?.active) return "user_exists";
      const quota = Number(input.quota_mb ?? user?.quota ?? 1024);
      users.set(localPart, { password, quota, limit: user?.limit ?? "default", active: true, apps: [] });
      return "changed";
    }
    case "add-node":
      return "unchanged";
  }
  if (OWNER_CALLS.includes(endpoint)) return expectedOfOwner(user, { endpoint, input });
  if (users === undefined || user === undefined) return "user_not_found";
  const { active } = user;
  switch (endpoint) {
    case "remove-user":
      if (input.hard_delete === true) users.delete(localPart);
      user.active = false;
      user.apps = [];
      return active ? "changed" : "unchanged";
    case "restore-user":
      user.active = true;
      return active ? "user_active" : "changed";
    case "update-password":
      if (active) Object.assign(user, { password, apps: [] });
      return active ? "changed" : "user_inactive";
    case "rename-user": {
      if (!active) return "user_inactive";
      const [newLocalPart = "", newDomain = ""] = String(input.new_email).split("@");
      const target = model.get(newDomain);
      if (target === undefined) return "domain_not_found";
      if (target.has(newLocalPart)) return "user_exists";
      users.delete(localPart);
      target.set(newLocalPart, user);
      return "changed";
    }
    case "set-user-limits": {
      if (!active) return "user_inactive";
      const wanted = input.recipients_per_hour as Mailbox["limit"];
      const same = user.limit === wanted;
      user.limit = wanted;
      return same ? "unchanged" : "changed";
    }
    default: {
      if (!active) return "user_inactive";
      const same = user.quota === input.quota_mb;
      user.quota = Number(input.quota_mb);
      return same ? "unchanged" : "changed";
    }
  }
}

function expectedOfOwner(user: Mailbox | undefined, { endpoint, input }: Call): string {
  if (user?.active !== true) return "unauthorized";
  const name = String(input.name);
  const has = user.apps.includes(name);
  if (endpoint === "change-own-password") {
    user.password = String(input.password);
    return "changed";
  }
  if (endpoint === "make-app-password") {
    if (!has) user.apps = [...user.apps, name];
    return has ? "invalid_input" : "changed";
  }
  user.apps = user.apps.filter((one) => one !== name);
  return has ? "changed" : "unchanged";
}

const domain = fc.constantFrom("a.nl", "b.nl");
const email = fc.tuple(fc.constantFrom("jan", "piet", "x.y"), domain).map((parts) => parts.join("@"));
/** Long enough that no two are the same, because setting a password to itself is a case of its own. */
const password = fc.stringMatching(/^[a-z]{24}$/);
const name = fc.constantFrom("Phone", "Laptop");
const quota_mb = fc.constantFrom(1, 5, 1024);

/** A call that fc.oneof chooses with this weight. */
export function callOf(weight: number, endpoint: string, input: Record<string, fc.Arbitrary<unknown>>) {
  return {
    weight,
    arbitrary: fc.record({ endpoint: fc.constant(endpoint), input: fc.record(input) }),
  };
}

export const mailCall: fc.Arbitrary<Call> = fc.oneof(
  callOf(2, "add-domain", { domain }),
  callOf(1, "remove-domain", { domain }),
  {
    weight: 6,
    arbitrary: fc.record({
      endpoint: fc.constant("add-user"),
      input: fc.record({ email, password, quota_mb }, { requiredKeys: ["email", "password"] }),
    }),
  },
  callOf(3, "remove-user", { email, hard_delete: fc.boolean() }),
  callOf(2, "restore-user", { email }),
  callOf(2, "update-password", { email, password }),
  callOf(2, "set-user", { email, quota_mb }),
  callOf(2, "set-user-limits", { email, recipients_per_hour: fc.constantFrom(0, 5, "default") }),
  callOf(3, "rename-user", { email, new_email: email }),
  callOf(3, "make-app-password", { email, name }),
  callOf(1, "end-app-password", { email, name }),
  callOf(1, "change-own-password", { email, password }),
  callOf(1, "add-node", { name: fc.stringMatching(/^n[0-9a-f]{12}$/) }),
);

/** Returns the active mailboxes by address. */
export function activeUsers(model: Model): Map<string, Mailbox> {
  return new Map(
    [...model].flatMap(([domain, mailboxes]) =>
      [...mailboxes]
        .filter(([, { active }]) => active)
        .map(([local, mailbox]) => [`${local}@${domain}`, mailbox] as const),
    ),
  );
}
