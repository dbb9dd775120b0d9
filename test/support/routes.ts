import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { FastifyInstance } from "fastify";
import type { ServeOptions } from "../../src/program/serve.ts";
import { startServer, type TestServer } from "./server.ts";

export type Route = readonly [method: string, path: string];

export interface OpenServer extends TestServer {
  /** Every route that the server has, with its path parameters filled in. */
  routes: Route[];
  /** Returns the number of open connections. */
  connections(): Promise<number>;
}

/** Starts a server whose routes and connections can be read. */
export async function serverWithRoutes(
  flags: Record<string, string> = {},
  options: ServeOptions = {},
): Promise<OpenServer> {
  const routes: Route[] = [];
  let connections = async () => 0;
  const initialised = (message: unknown) => {
    const { fastify } = message as { fastify: FastifyInstance };
    connections = () =>
      new Promise((resolve) => fastify.server.getConnections((_error, count) => resolve(count)));
    fastify.addHook("onRoute", ({ method, url }) => {
      for (const each of [method].flat()) routes.push([each, url.replaceAll(/:\w+/g, "x")]);
    });
  };
  subscribe("fastify.initialization", initialised);
  try {
    const server = await startServer(flags, options);
    return { ...server, routes, connections };
  } finally {
    unsubscribe("fastify.initialization", initialised);
  }
}
