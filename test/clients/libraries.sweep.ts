import { expect, test } from "vitest";
import { calls, expected, Home, startFor, transports } from "./client.ts";
import { areInstalled } from "./installed.ts";
import { openaiModel } from "./openai-model.ts";

const combinations = ["ai-sdk", "langchain"].flatMap((library) =>
  transports.map((transport) => [library, transport] as const),
);

test.runIf(areInstalled()).each(combinations)(
  "%s makes a mailbox over %s and reads why a second one is refused",
  async (library, transport) => {
    const { server, settings } = await startFor(transport);
    const results = await new Home().library(library, { server: settings, calls });
    expect(results).toHaveLength(calls.length);
    for (const [index, pattern] of expected.entries())
      expect(JSON.stringify((results as unknown[])[index])).toMatch(pattern);
    expect((await server.api("list-users?domain=client.example")).body).toMatchObject({ total: 1 });
  },
);

test.runIf(areInstalled()).each(transports)(
  "an agent of OpenAI's SDK makes a mailbox over %s and reads why a second one is refused",
  async (transport) => {
    const { server, settings } = await startFor(transport);
    const model = await openaiModel(calls);
    const home = new Home();
    await home.library("openai-agents", { server: settings }, model.environment);
    model.expectRead(expected);
    expect((await server.api("list-users?domain=client.example")).body).toMatchObject({ total: 1 });
  },
);
