import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { readForms } from "../html/forms.ts";
import { type ActionName, actions, type PageParts, type ViewName, views } from "./routes.ts";

/** Maximum bytes of a form. The page's own forms have a few hundred. */
const FORM_LIMIT = 4 * 1024;

/**
 * Mounts the operator's page on a scope whose `onRequest` has counted the request. The first request of a browser loads
 * its code.
 *
 * @param answerPrograms answers requests that do not accept HTML, as if there were no page
 */
export async function mountPage(
  scope: FastifyInstance,
  parts: PageParts,
  answerPrograms: (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply>,
): Promise<void> {
  let loaded: ReturnType<typeof load> | undefined;
  const page = () => {
    loaded ??= load(parts);
    return loaded;
  };
  scope.addHook("onRequest", async (request, reply) => {
    if (!isForBrowser(request)) return answerPrograms(request, reply);
    await (await page()).begin(request, reply);
    return undefined;
  });
  scope.setErrorHandler(async (error: FastifyError, request, reply) => {
    if (!isForBrowser(request)) throw error;
    return (await page()).failed(error, request, reply);
  });
  readForms(scope);
  for (const name of Object.keys(views) as ViewName[]) {
    scope.get(views[name], async (request, reply) => (await page()).view(name, request, reply));
  }
  for (const name of Object.keys(actions) as ActionName[]) {
    scope.post(actions[name], { bodyLimit: FORM_LIMIT }, async (request, reply) =>
      (await page()).act(name, request, reply),
    );
  }
  // A browser is at these paths after a refused form, and may reload them.
  for (const path of [actions["sign-in"], actions["sign-out"]]) {
    scope.get(path, (_request, reply) => reply.redirect("../", 303));
  }
}

function isForBrowser({ headers }: FastifyRequest): boolean {
  return headers.accept?.includes("text/html") === true;
}

async function load(parts: PageParts) {
  const { OperatorPage } = await import("./operator-page.ts");
  return new OperatorPage(parts);
}
