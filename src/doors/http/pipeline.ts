import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { FastifyInstance } from "fastify";

/** Requests of one connection that run at a time. A client that waits for each answer has one. */
const UNDER_WAY = 4;

/**
 * Starts few requests of one connection at a time. It holds the others that have arrived, and reads no more from the
 * connection meanwhile, so that further requests wait at the client.
 */
export function limitPipelines(app: FastifyInstance): void {
  const pipelines = new WeakMap<Socket, Pipeline>();
  app.addHook("onRequest", ({ raw: { socket } }, reply, done) => {
    let pipeline = pipelines.get(socket);
    if (pipeline === undefined) {
      pipeline = new Pipeline(socket);
      pipelines.set(socket, pipeline);
    }
    pipeline.add(reply.raw, done);
  });
}

/** The requests of one connection, in their order. */
class Pipeline {
  readonly #socket: Socket;
  readonly #underWay = new Set<ServerResponse>();
  #held: Array<() => void> = [];
  #isPausing = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.once("close", () => this.#end());
  }

  add(response: ServerResponse, start: () => void): void {
    if (this.#underWay.size < UNDER_WAY) {
      this.#start(response, start);
      return;
    }
    this.#held.push(() => this.#start(response, start));
    this.#pauseSoon();
  }

  #start(response: ServerResponse, start: () => void): void {
    this.#underWay.add(response);
    response.once("close", () => {
      this.#underWay.delete(response);
      // Lets other connections' requests run in between.
      if (this.#held.length > 0) setImmediate(() => this.#goOn());
    });
    start();
  }

  #goOn(): void {
    this.#held.shift()?.();
    if (this.#held.length === 0) this.#socket.resume();
  }

  /** Pauses once all that was read is parsed, because Node resumes at the end of each request in it. */
  #pauseSoon(): void {
    if (this.#isPausing) return;
    this.#isPausing = true;
    process.nextTick(() => {
      this.#isPausing = false;
      this.#socket.pause();
    });
  }

  /** Ends all responses: Node tells only the first in a pipeline that its connection is gone. */
  #end(): void {
    this.#held = [];
    for (const response of this.#underWay) {
      if (response.destroyed) continue;
      response.destroy();
      response.emit("close");
    }
  }
}
