import { setImmediate as nextTurn } from "node:timers/promises";

/** A read that runs once for all its callers within one turn of the event loop, after the last of them. */
export function onceATurn<T>(read: () => T | Promise<T>): () => Promise<T> {
  let next: Promise<T> | undefined;
  return () => {
    next ??= nextTurn().then(() => {
      next = undefined;
      return read();
    });
    return next;
  };
}
