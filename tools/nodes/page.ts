import * as z from "zod";
import type { Tables } from "../../db/store.ts";
import { decodeCursor, pageFields, pageOf } from "../call/fields.ts";
import { allConditions, conditionsOf, type JudgedNode, nodeStatuses } from "./condition.ts";

/** Input fields of the lists of nodes. */
export const nodePageFields = {
  status: z.enum(nodeStatuses).optional().describe("Only nodes with this status."),
  ...pageFields,
};

interface NodePage {
  page: JudgedNode[];
  /** On all pages. */
  total: number;
  nextCursor: string | null;
}

/** @throws MailError invalid_input for a cursor of another list */
export async function nodePage(
  tables: Tables,
  at: string,
  input: { status?: (typeof nodeStatuses)[number] | undefined; limit: number; cursor?: string | undefined },
): Promise<NodePage> {
  const { status, limit, cursor } = input;
  const [after = ""] = cursor === undefined ? [] : decodeCursor(cursor, 1);
  const { found, total } =
    status === undefined
      ? {
          found: await conditionsOf(tables, at, await tables.nodes.page(limit + 1, after)),
          total: await tables.nodes.count(),
        }
      : await withStatus(status, allConditions(tables, at), { after, most: limit + 1 });
  const { page, nextCursor } = pageOf(found, limit, ({ node }) => [node.name]);
  return { page, total, nextCursor };
}

/** The first nodes with this status after a name, and how many nodes have the status. */
async function withStatus(
  status: (typeof nodeStatuses)[number],
  all: AsyncIterable<JudgedNode>,
  { after, most }: { after: string; most: number },
) {
  const found: JudgedNode[] = [];
  let total = 0;
  for await (const judged of all) {
    if (judged.condition.status !== status) continue;
    total += 1;
    if (judged.node.name > after && found.length < most) found.push(judged);
  }
  return { found, total };
}
