import { type Adapter, type AdapterPayload, errors, Provider } from "oidc-provider";
import type { Store, Tables } from "../../../db/store.ts";
import { siteOf } from "../../mail/network.ts";
import { clientRules } from "./client-documents.ts";

/**
 * Keeps what oidc-provider remembers in the product's store. The library knows a token by its own text (`jti`):
 * the store keeps a hash of that alone, and it is put back on the way out.
 */
export function adapterFor(store: Store, seconds: () => number): (kind: string) => Adapter {
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
      // The library uses a code or a token up, and then saves the next ones: meanwhile the grant may have been ended.
      if (!isSaved) throw new errors.InvalidGrant("the grant has ended");
    },
    async find(id) {
      const record = await store.read((tables) => tables.oauth.find(kind, id));
      return kind === "Client" ? registered(record) : restored(record, id);
    },
    async findByUid(uid) {
      return restored(await store.read((tables) => tables.oauth.findByUid(kind, uid)));
    },
    async findByUserCode() {
      return undefined;
    },
    /** Of two requests that present the same code or token at once, one wins, and both lose what it stands for. */
    async consume(id) {
      const isFirst = await store.write(async (tables) => {
        if (await tables.oauth.consume(kind, id, seconds())) return true;
        const used = await tables.oauth.find(kind, id);
        const grantId = used?.payload.grantId;
        if (typeof grantId === "string") await tables.oauth.endGrant(grantId);
        return false;
      });
      if (!isFirst) throw new errors.InvalidGrant("already used");
    },
    async destroy(id) {
      await store.write((tables) => tables.oauth.remove(kind, id));
    },
    async revokeByGrantId(grantId) {
      await store.write((tables) => tables.oauth.endGrant(grantId));
    },
  });
}

/**
 * A request that waits for the operator, or what became of it.
 *
 * @throws SessionNotFound where the request that is answered is gone, as after a change of the password
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

function restored(record: OAuthRecord, jti?: string): AdapterPayload | undefined {
  if (record === undefined) return undefined;
  const { payload, consumedAt } = record;
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
