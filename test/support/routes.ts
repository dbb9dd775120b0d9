import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { FastifyInstance } from "fastify";
import type { ServeOptions } from "../../src/program/serve.ts";
import { startServer, type TestServer } from "./server.ts";

export type Route = readonly [method: string, path: string];

export interface OpenServer extends TestServer {
  /** Every route that it really has; what stands for a part of a path is filled in. */
  routes: Route[];
  /** How many connections are open. */
  connections(): Promise<number>;
}

/** A server that can be looked into. */
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
