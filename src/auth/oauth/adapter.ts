import { type Adapter, type AdapterPayload, errors, Provider } from "oidc-provider";
import type { Store, Tables } from "../../../db/store.ts";
import type { Log } from "../../log/log.ts";
import { siteOf } from "../../mail/network.ts";
import { Access, grantName, plainName } from "./authenticate.ts";
import { clientRules } from "./client-documents.ts";

/**
 * Keeps oidc-provider's records in the product's store. The library knows a token by its own text (`jti`). The store
 * keeps only a hash of that text; the adapter puts the text back when it returns a record.
 */
export function adapterFor(store: Store, seconds: () => number, log: Log): (kind: string) => Adapter {
  /** Ends a grant, and records why if a code or token was used twice: somebody else may have it. */
  async function endGrant(grantId: string): Promise<void> {
    const misused = presented();
    const ended = await store.write(async (tables) => {
      const grant = await tables.oauth.endGrant(grantId);
      if (grant === undefined || misused === undefined) return undefined;
      const { client_name } = Access.parse((grant.payload.rar as unknown[])[0]);
      const named = { grant: grant.id, client: plainName(client_name) };
      await tables.audit.append({
        at: new Date(seconds() * 1000).toISOString(),
        principal: grantName(client_name, grant.id),
        door: "oauth",
        address: Provider.ctx?.ip,
        request: Provider.ctx?.get("x-request-id"),
        tool: "end-grant",
        arguments: { ...named, reason: `${misused} was used twice` },
      });
      return named;
    });
    if (ended !== undefined) log.warn(`OAuth: ${misused} was used twice: its grant has ended`, ended);
  }

  return (kind) => ({
    async upsert(id, { jti: _, ...payload }, expiresIn) {
      const expiresAt = expiresIn === undefined ? null : seconds() + expiresIn;
      if (kind === "Interaction") return saveRequest(store, id, payload, expiresAt);
      const { grantId, uid } = payload;
      const isSaved = await store.write((tables) =>
        tables.oauth.save(kind, id, {
          payload,
          grantId: typeof grantId === "string" ? grantId : null,
          uid: typeof uid === "string" ? uid : null,
          expiresAt,
        }),
      );
      // The library first consumes a code or token, then saves the next ones: the grant may have ended in between.
      if (!isSaved) throw new errors.InvalidGrant("the grant has ended");
    },
    async find(id) {
      const record = await store.read((tables) => tables.oauth.find(kind, id));
      return kind === "Client" ? registered(record) : restored(record, seconds(), id);
    },
    async findByUid(uid) {
      return restored(await store.read((tables) => tables.oauth.findByUid(kind, uid)), seconds());
    },
    async findByUserCode() {
      return undefined;
    },
    /** If two requests present the same code or token, one consumes it; then the grant ends, and both lose their access. */
    async consume(id) {
      if (await store.write((tables) => tables.oauth.consume(kind, id, seconds()))) return;
      const used = await store.read((tables) => tables.oauth.find(kind, id));
      const grantId = used?.payload.grantId;
      if (typeof grantId === "string") await endGrant(grantId);
      throw new errors.InvalidGrant("already used");
    },
    async destroy(id) {
      await store.write((tables) => tables.oauth.remove(kind, id));
    },
    async revokeByGrantId(grantId) {
      await endGrant(grantId);
    },
  });
}

/** The credential that the current request exchanges for tokens; undefined for requests of other kinds. */
function presented(): string | undefined {
  switch (Provider.ctx?.oidc.params?.grant_type) {
    case "authorization_code":
      return "an authorization code";
    case "refresh_token":
      return "a refresh token";
    default:
      return undefined;
  }
}

/**
 * Saves a request that waits for the operator, or its answer.
 *
 * @throws SessionNotFound if the answered request is gone, for example after a change of the password
 */
async function saveRequest(
  store: Store,
  id: string,
  payload: AdapterPayload,
  expiresAt: number | null,
): Promise<void> {
  const { result } = payload;
  if (result === undefined) {
    const subscriber = siteOf(Provider.ctx?.ip ?? "");
    await store.write((tables) => tables.oauth.beginRequest(id, { payload, subscriber, expiresAt }));
    return;
  }
  const answer = { payload, isSignedIn: result.login !== undefined };
  const isSaved = await store.write((tables) => tables.oauth.answerRequest(id, answer));
  if (!isSaved) throw new errors.SessionNotFound("the request has ended");
}

type OAuthRecord = Awaited<ReturnType<Tables["oauth"]["find"]>>;

/** Leaves out expired records: the library checks the expiry of tokens, but not of a page that waits for the operator. */
function restored(record: OAuthRecord, now: number, jti?: string): AdapterPayload | undefined {
  if (record === undefined) return undefined;
  const { payload, consumedAt } = record;
  if (typeof payload.exp === "number" && payload.exp <= now) return undefined;
  return {
    ...payload,
    ...(jti !== undefined && { jti }),
    ...(consumedAt !== null && { consumed: consumedAt }),
  };
}

/** A client that an operator registered by hand. */
function registered(record: OAuthRecord): AdapterPayload | undefined {
  if (record === undefined) return undefined;
  const { client_id, redirect_uris } = record.payload as { client_id: string; redirect_uris: string[] };
  return {
    client_id,
    client_name: client_id,
    redirect_uris,
    ...clientRules(redirect_uris),
  } as AdapterPayload;
}
