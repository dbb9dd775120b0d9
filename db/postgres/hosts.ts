/** Where a server may be, for pg. */
export interface Host {
  host: string;
  port?: number;
}

/** The hosts of one database, of which one is the primary. */
export class Hosts {
  readonly #hosts: readonly Host[];
  #at = 0;

  constructor(hosts: readonly [Host, ...Host[]]) {
    this.#hosts = hosts;
  }

  /** The one that is tried next: the last that could be used. */
  get now(): Host {
    return this.#hosts[this.#at % this.#hosts.length] as Host;
  }

  /** Runs `connect` until it succeeds, at each host once. */
  async try<T>(connect: () => Promise<T>): Promise<T> {
    for (let left = this.#hosts.length; ; left -= 1) {
      const at = this.#at;
      try {
        return await connect();
      } catch (error) {
        // Others may have failed there at the same time.
        if (at === this.#at) this.#at += 1;
        if (left <= 1) throw error;
      }
    }
  }
}

/** The hosts that an address names: several are separated by commas, with one port each or one for all. */
export function hostsOf(url: URL): [Host, ...Host[]] {
  const hosts = (url.searchParams.get("host") ?? decodeURIComponent(url.hostname)).split(",");
  const ports = (url.searchParams.get("port") ?? url.port).split(",");
  const all = hosts.map((host, place) => {
    const port = ports[ports.length === 1 ? 0 : place] ?? "";
    return { host: host === "" ? "localhost" : host, ...(port !== "" && { port: Number(port) }) };
  });
  return all as [Host, ...Host[]];
}
