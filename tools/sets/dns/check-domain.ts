import * as z from "zod";
import type { SeenNode } from "../../../db/nodes/nodes.ts";
import type { MailHost } from "../../../src/dns/host-records.ts";
import { recordStates } from "../../../src/dns/record.ts";
import { MailError } from "../../../src/mail/error.ts";
import { DomainName } from "../../../src/mail/schemas.ts";
import { next, text } from "../../../src/mail/text.ts";
import { defineTool } from "../../call/tool.ts";
import { owningDomain } from "../owning-domain.ts";

export const checkDomain = defineTool({
  endpoint: "check-domain",
  title: "Check a domain's DNS",
  description: text`Compares the DNS records of a registered domain, or of a domain alias, with those that its mail needs, and gives the lines to paste into its zone. Use it when mail does not arrive or is refused elsewhere, and after ${next("add-domain")}. Changes nothing; takes up to 15 seconds. unknown means that DNS did not answer: check again later.`,
  effect: "read",
  input: z.strictObject({ domain: DomainName }),
  output: z.object({
    domain: z.string(),
    ready: z.boolean().describe("True if each record is ok, besides optional ones."),
    records: z.array(
      z.object({
        name: z.string(),
        type: z.string(),
        expected: z.string(),
        found: z.array(z.string()),
        state: z.enum(recordStates),
        why: z.string().nullable(),
        optional: z.boolean().describe("Mail works without it."),
      }),
    ),
    zone: z
      .string()
      .describe("Lines for the domain's zone that it lacks; a line of the same name and type goes."),
  }),
  async run({ tables, settings, at }, { domain }) {
    const { name } = await owningDomain(tables, domain);
    const hosts = mailHosts(name, await tables.nodes.all());
    const keys = await tables.dkimKeys.of(domain, at);
    return async () => {
      // Loaded when it is needed: mailauth is half of a command's start.
      const { checkDns, zoneText } = await import("../../../src/dns/check.ts");
      const records = await checkDns(domain, hosts, settings.nameServer, keys);
      return {
        domain,
        ready: records.every(({ state, optional }) => state === "ok" || optional),
        records: records.map((record) => ({ ...record, found: [...record.found] })),
        zone: zoneText(domain, records),
      };
    };
  },
});

/**
 * The nodes that serve a domain, by the host names that they reported. With MX-only nodes, mail may come to these and to
 * the others.
 *
 * @throws MailError node_not_found
 */
function mailHosts(domain: string, nodes: readonly SeenNode[]): MailHost[] {
  const hosts = new Map<string, MailHost>();
  for (const { view, report } of nodes) {
    if (view.domains !== null && !view.domains.includes(domain)) continue;
    if (report === null || report.host === null) continue;
    hosts.set(report.host, { name: report.host, receives: true, sends: view.role === "mail" });
  }
  if (hosts.size > 0) return [...hosts.values()];
  throw new MailError(
    "node_not_found",
    `No node that serves ${domain} has reported its host name yet.`,
    text`DNS is checked against the host names of nodes, which they report when they have applied a change. See ${next("list-nodes")}.`,
  );
}
