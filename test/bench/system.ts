/** What is measured: a cluster that runs, and what one client of it can ask. */
/** A client on a connection of its own. Each call rejects where the answer is not the one that it needs. */
export interface Driver {
  /** Takes a lock that is free; resolves with what gives it back. */
  acquire(name: string): Promise<string>;
  /**
   * Waits for a lock for as long as it takes; resolves with what gives it back.
   * @param renews it says that it renews what it gets, where a system asks
   */
  wait(name: string, renews?: boolean): Promise<string>;
  release(name: string, token: string): Promise<void>;
  put(key: string, value: string): Promise<void>;
  /** Linearizable. */
  get(key: string): Promise<void>;
  /** Waits to be leader; resolves with what resigns. */
  campaign(name: string): Promise<string>;
  resign(name: string, token: string): Promise<void>;
  close(): void;
}

export type Running = {
  /** Where clients find each server, in the system's own terms. */
  readonly urls: readonly string[];
  /** The pid of every process whose work is counted. */
  readonly pids: readonly number[];
  /** A client of that server. */
  connect(url: string): Promise<Driver>;
  stop(): Promise<void>;
};

export type System = {
  readonly name: string;
  /** Null where it is not installed. */
  version(): Promise<string | null>;
  /** @param n servers, each with a file of its own on disk */
  start(n: number): Promise<Running>;
};

export function expectOk({ status, text }: { readonly status: number; readonly text: string }): string {
  if (status !== 200) throw new Error(`answered ${status}: ${text.slice(0, 200)}`);
  return text;
}
