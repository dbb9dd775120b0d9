/** The beginning of every path of the protocol, below the server's address. */
export const PREFIX = "/sync/v1";

export const paths = {
  maps: `${PREFIX}/maps`,
  report: `${PREFIX}/report`,
  key: `${PREFIX}/key`,
  dkim: `${PREFIX}/dkim`,
  usage: `${PREFIX}/usage`,
} as const;

/**
 * In an answer with maps: an operator's acceptance of removals, as acceptance.ts writes it. A node that withholds removals
 * then lets them through. In a request: the header of the last answer.
 */
export const ACCEPTANCE_HEADER = "m25-accept-removals";

/** In an answer with maps: the public part of the node's key. A cache on the way may mix up nodes. */
export const KEY_HEADER = "m25-key-id";
