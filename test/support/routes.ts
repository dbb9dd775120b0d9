import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { FastifyInstance } from "fastify";
import { startServer, type TestServer } from "./server.ts";

export type Route = readonly [method: string, path: string];

/** A server, with every route that it really has; what stands for a part of a path is filled in. */
export async function serverWithRoutes(
  flags: Record<string, string> = {},
): Promise<TestServer & { routes: Route[] }> {
  const routes: Route[] = [];
  const initialised = (message: unknown) => {
    const { fastify } = message as { fastify: FastifyInstance };
    fastify.addHook("onRoute", ({ method, url }) => {
      for (const each of [method].flat()) routes.push([each, url.replaceAll(/:\w+/g, "x")]);
    });
  };
  subscribe("fastify.initialization", initialised);
  try {
    const server = await startServer(flags);
    return { ...server, routes };
  } finally {
    unsubscribe("fastify.initialization", initialised);
  }
}
