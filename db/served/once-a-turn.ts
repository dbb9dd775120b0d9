import { setImmediate as nextTurn } from "node:timers/promises";

/**
 * A read that runs once for all its callers within one turn of the event loop, after the last of them. One runs at a time: all
 * callers during it share the next.
 */
export function onceATurn<T>(read: () => T | Promise<T>): () => Promise<T> {
  let next: Promise<T> | undefined;
  let underWay: Promise<unknown> = Promise.resolve();
  return () => {
    if (next === undefined) {
      next = underWay
        .then(() => nextTurn())
        .then(() => {
          next = undefined;
          return read();
        });
      underWay = next.catch(() => {}); // its callers report it
    }
    return next;
  };
}
