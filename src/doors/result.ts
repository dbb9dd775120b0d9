import type { Text } from "../mail/text.ts";

/** A result in a door's words. A tool's texts are the `hint` of a node, `next_step` and `note`. */
export function wordedResult(
  result: Record<string, unknown>,
  words: (said: Text) => string,
): Record<string, unknown> {
  const { nodes, next_step, note } = result as {
    nodes?: Array<{ hint?: Text | null }>;
    next_step?: Text;
    note?: Text;
  };
  return {
    ...result,
    ...(nodes && { nodes: nodes.map((node) => (node.hint ? { ...node, hint: words(node.hint) } : node)) }),
    ...(next_step && { next_step: words(next_step) }),
    ...(note && { note: words(note) }),
  };
}
