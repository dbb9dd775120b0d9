/** Bytes of a request's body, on every route. The largest honest one is a few hundred. */
export const BODY_LIMIT = 64 * 1024;
/** Bytes of a request's header fields, all together. */
export const HEADER_LIMIT = 16 * 1024;
/** How long a caller may take to send its header fields, and its whole request, in ms. */
export const HEADERS_TIMEOUT = 10_000;
export const REQUEST_TIMEOUT = 30_000;
/** How often connections are looked at for those two; Node's own half minute would let each run on as long again. */
export const TIMEOUT_CHECK_INTERVAL = 5_000;
/** Nodes poll every minute: a connection that outlives the pause saves a TLS handshake a poll. In ms. */
export const KEEP_ALIVE_TIMEOUT = 90_000;
/** A connection on which not a byte moves for so long, or at most twice as long, is cut; a poll waits 55 s. In ms. */
export const IDLE_TIMEOUT = 75_000;
/**
 * Open connections altogether, ten thousand waiting nodes and room for others, and from one address: behind one
 * there may be an office, or a hundred nodes.
 */
export const MOST_CONNECTIONS = 12_000;
export const MOST_CONNECTIONS_OF_ONE = 1_000;
