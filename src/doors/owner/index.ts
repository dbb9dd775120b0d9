import type { FastifyError, FastifyInstance } from "fastify";
import { readForms } from "../html/forms.ts";
import type { OwnerParts } from "./owner-page.ts";

/** Maximum bytes of a form. The page's own has a few hundred. */
const FORM_LIMIT = 4 * 1024;

/** The path of password links. */
const PATH = "/password/:token";

/**
 * Mounts the page on which owners of mailboxes choose their passwords, on a scope whose `onRequest` has counted the request.
 * The first request loads its code.
 */
export async function mountOwnerPage(scope: FastifyInstance, parts: OwnerParts): Promise<void> {
  let loaded: ReturnType<typeof load> | undefined;
  const page = () => {
    loaded ??= load(parts);
    return loaded;
  };
  scope.addHook("onRequest", async (_request, reply) => (await page()).begin(reply));
  scope.setErrorHandler(async (error: FastifyError, request, reply) =>
    (await page()).failed(error, request, reply),
  );
  readForms(scope);
  scope.get(PATH, async (request, reply) => (await page()).show(request, reply));
  scope.post(PATH, { bodyLimit: FORM_LIMIT }, async (request, reply) =>
    (await page()).choose(request, reply),
  );
}

async function load(parts: OwnerParts) {
  const { OwnerPage } = await import("./owner-page.ts");
  return new OwnerPage(parts);
}
