import { type IncomingHttpHeaders, request as plainRequest } from "node:http";
import { request as tlsRequest } from "node:https";
import { connect } from "node:net";
import { text } from "node:stream/consumers";

export interface HttpAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

interface Request {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
  /** A certificate to trust, for https. */
  ca?: string | Buffer;
  /** The caller's address: any IPv4 address of this machine. */
  localAddress?: string;
}

/** Sends one HTTP request with node:http, which, unlike fetch, sends any Host. */
export async function http(
  url: string,
  { method = "GET", headers = {}, body, ca, localAddress }: Request = {},
): Promise<HttpAnswer> {
  const request = url.startsWith("https:") ? tlsRequest : plainRequest;
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      { method, headers, ca, localAddress, family: localAddress === undefined ? undefined : 4, agent: false },
      (response) => {
        text(response).then(
          (received) =>
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body: received }),
          reject,
        );
      },
    );
    sent.on("error", reject);
    sent.end(body);
  });
}

/** Sends these bytes and returns everything that the server sends before it closes the connection. */
export function rawHttp(url: string, bytes: string): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    socket.write(bytes);
    text(socket).then(resolve, reject);
  });
}
