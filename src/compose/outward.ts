/** Requests and connections of this process to other nodes, by the certificates that it trusts at the moment. */
import { QuorateError } from "../errors.ts";

export class Outward {
  #ca: string | null = null;
  /** Null: the runtime's own, which trusts the system's CAs and those of DENO_CERT. */
  #client: Deno.HttpClient | null = null;

  /** @param ca PEM text of a CA to trust besides; throws as `prepare` does */
  constructor(ca: string | null) {
    this.prepare(ca)();
  }

  /** What makes this CA the one that is trusted from then on. Throws QuorateError if it is no certificate. */
  prepare(ca: string | null): () => void {
    if (ca === this.#ca) return () => {};
    const client = ca === null ? null : clientOf(ca);
    return () => {
      // Not closed: requests are under way on it, and its idle connections end by themselves.
      this.#client = client;
      this.#ca = ca;
    };
  }

  readonly fetch = (url: string, init: RequestInit): Promise<Response> =>
    fetch(url, this.#client === null ? init : { ...init, client: this.#client });

  readonly connect = (url: string, headers: Readonly<Record<string, string>>): WebSocket =>
    new WebSocket(url, { headers, ...(this.#client !== null && { client: this.#client }) });
}

function clientOf(ca: string): Deno.HttpClient {
  try {
    return Deno.createHttpClient({ caCerts: [ca] });
  } catch (error) {
    const field = "--tls-ca";
    throw new QuorateError("invalid-request", `${field} holds no certificate of a CA: ${(error as Error).message}`, {
      field,
    });
  }
}
