import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished } from "vitest";

export interface Call {
  name: string;
  arguments: Record<string, unknown>;
}

export interface ScriptedModel {
  url: string;
  /** Fails unless the result of each call matched its pattern. */
  expectRead(patterns: readonly RegExp[]): void;
  /** All requests, to show when a test fails. */
  requests: string[];
}

/** The message format of one vendor's API. */
export interface Dialect {
  /** Returns the results of the tool calls so far, as text. */
  results(body: unknown): string[];
  /** Answers with this call, or with a final text if there is none. */
  reply(body: unknown, call: Call | undefined, response: ServerResponse, path: string): void;
}

/** Starts a stand-in for a vendor's model, on loopback. It makes these calls in order, whatever it reads. */
export async function scriptedModel(calls: readonly Call[], dialect: Dialect): Promise<ScriptedModel> {
  let read: string[] = [];
  const requests: string[] = [];
  const server = createServer(async (request: IncomingMessage, response) => {
    let text = "";
    for await (const chunk of request.setEncoding("utf8")) text += chunk;
    requests.push(`${request.method} ${request.url} ${text}`);
    try {
      const body: unknown = text === "" ? {} : JSON.parse(text);
      const results = dialect.results(body);
      if (results.length > read.length) read = results;
      dialect.reply(body, calls[results.length], response, request.url ?? "");
    } catch (error) {
      requests.push(String(error));
      response.writeHead(400).end();
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close().closeAllConnections());
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    expectRead(patterns) {
      expect(read, requests.join("\n").slice(0, 4000)).toHaveLength(patterns.length);
      for (const [index, pattern] of patterns.entries()) expect(read[index]).toMatch(pattern);
    },
  };
}
