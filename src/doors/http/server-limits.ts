/** Bytes of a request's body, on every route. The largest honest one is a few hundred. */
export const BODY_LIMIT = 64 * 1024;
/** Bytes of a request's header fields, all together. */
export const HEADER_LIMIT = 16 * 1024;
/** How long a caller may take to send its header fields, and its whole request, in ms. */
export const HEADERS_TIMEOUT = 10_000;
export const REQUEST_TIMEOUT = 30_000;
/** How often connections are checked for those two, in ms; Node's own 30 s would let each run that much longer. */
export const TIMEOUT_CHECK_INTERVAL = 5_000;
/** Nodes poll every minute: a connection that outlives the pause saves a TLS handshake a poll. In ms. */
export const KEEP_ALIVE_TIMEOUT = 90_000;
/** A connection without traffic is cut after this time, or at most twice as long; a poll waits 55 s. In ms. */
export const IDLE_TIMEOUT = 75_000;
/** Open connections altogether: ten thousand waiting nodes, and room for others. */
export const MOST_CONNECTIONS = 12_000;
/** Open connections from one address, which may be an office or a hundred nodes. */
export const MOST_CONNECTIONS_OF_ONE = 1_000;
