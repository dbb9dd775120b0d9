import type { FastifyError, FastifyInstance } from "fastify";
import { readForms } from "../html/forms.ts";
import { sharedKey } from "../shared-key.ts";
import type { OwnerParts } from "./password-link-page.ts";
import { ACCOUNT, accountActions } from "./routes.ts";

/** Maximum bytes of a form. The page's own has a few hundred. */
const FORM_LIMIT = 4 * 1024;

/** The path of password links. */
const PATH = "/password/:token";

/**
 * Mounts the pages of owners of mailboxes, where links lead and where they sign in, on a scope whose `onRequest` has counted the request.
 * The first request loads its code.
 */
export async function mountOwnerPage(scope: FastifyInstance, parts: OwnerParts): Promise<void> {
  const linkKey = await sharedKey(parts.store, "form of a password link");
  let loaded: ReturnType<typeof load> | undefined;
  const page = () => {
    loaded ??= load(parts, linkKey);
    return loaded;
  };
  scope.addHook("onRequest", async (_request, reply) => (await page()).links.begin(reply));
  scope.setErrorHandler(async (error: FastifyError, request, reply) =>
    (await page()).links.failed(error, request, reply),
  );
  readForms(scope);
  scope.get(PATH, async (request, reply) => (await page()).links.show(request, reply));
  scope.post(PATH, { bodyLimit: FORM_LIMIT }, async (request, reply) =>
    (await page()).links.choose(request, reply),
  );
  if (parts.publicUrl === undefined) return;
  scope.get(ACCOUNT.slice(0, -1), (_request, reply) => reply.redirect("owner/", 303));
  scope.get(ACCOUNT, async (request, reply) => (await page()).account.show(request, reply));
  for (const name of accountActions) {
    scope.post(`${ACCOUNT}${name}`, { bodyLimit: FORM_LIMIT }, async (request, reply) =>
      (await page()).account.act(name, request, reply),
    );
    // A browser is at these paths after a refused form, and may reload them.
    scope.get(`${ACCOUNT}${name}`, (_request, reply) => reply.redirect("./", 303));
  }
}

/** Mounts a page in plain words for links of a server without the set `people`: a browser that follows one must not get JSON. */
export function mountClosedLinks(scope: FastifyInstance): void {
  scope.get(PATH, async (request, reply) => {
    const [{ closedPage }, { languageOf }, { pageHeaders, sendPage }] = await Promise.all([
      import("./pages.ts"),
      import("./words.ts"),
      import("../html/layout.ts"),
    ]);
    reply.headers({ ...pageHeaders, vary: "accept-language" });
    return sendPage(reply, closedPage(languageOf(request)), 404);
  });
}

async function load(parts: OwnerParts, linkKey: Uint8Array) {
  const [{ PasswordLinkPage }, { AccountPage }] = await Promise.all([
    import("./password-link-page.ts"),
    import("./account.ts"),
  ]);
  return { links: new PasswordLinkPage(parts, linkKey), account: new AccountPage(parts) };
}
