/** etcd, through its JSON gateway, where `etcd` is in the path or named by QUORATE_BENCH_ETCD (Debian: etcd-server). */
import { killAll, ready } from "./children.ts";
import { Connection } from "./connection.ts";
import { freePorts } from "../free_ports.ts";
import { type Driver, expectOk, type Running, type System } from "./system.ts";

const TTL_SECONDS = 60;

/** Each client has one lease, which all its locks are bound to, as `etcdctl lock` has one session. */
class EtcdDriver implements Driver {
  readonly #connection: Connection;
  readonly #lease: string;

  private constructor(connection: Connection, lease: string) {
    this.#connection = connection;
    this.#lease = lease;
  }

  static async connect(url: string): Promise<EtcdDriver> {
    const connection = await Connection.open(url);
    const { ID } = await ask(connection, "/v3/lease/grant", { TTL: TTL_SECONDS * 60 });
    return new EtcdDriver(connection, ID as string);
  }

  /** One transaction: the key is put if there is none. */
  async acquire(name: string): Promise<string> {
    const key = btoa(name);
    const { succeeded } = await ask(this.#connection, "/v3/kv/txn", {
      compare: [{ target: "CREATE", key, createRevision: 0 }],
      success: [{ requestPut: { key, value: "", lease: this.#lease } }],
    });
    if (succeeded !== true) throw new Error(`${name} is held`);
    return key;
  }

  async wait(name: string): Promise<string> {
    const { key } = await ask(this.#connection, "/v3/lock/lock", { name: btoa(name), lease: this.#lease });
    return key as string;
  }

  async release(_name: string, key: string): Promise<void> {
    await ask(this.#connection, "/v3/kv/deleterange", { key });
  }

  async put(key: string, value: string): Promise<void> {
    await ask(this.#connection, "/v3/kv/put", { key: btoa(key), value: btoa(value) });
  }

  async get(key: string): Promise<void> {
    await ask(this.#connection, "/v3/kv/range", { key: btoa(key) });
  }

  async campaign(name: string): Promise<string> {
    const { leader } = await ask(this.#connection, "/v3/election/campaign", { name: btoa(name), lease: this.#lease });
    return JSON.stringify(leader);
  }

  async resign(_name: string, leader: string): Promise<void> {
    await ask(this.#connection, "/v3/election/resign", { leader: JSON.parse(leader) });
  }

  close(): void {
    this.#connection.close();
  }
}

async function ask(connection: Connection, path: string, body: object): Promise<Record<string, unknown>> {
  return JSON.parse(expectOk(await connection.request("POST", path, JSON.stringify(body))));
}

const COMMAND = Deno.env.get("QUORATE_BENCH_ETCD") ?? "etcd";

export const ETCD: System = {
  name: "etcd",
  async version() {
    try {
      const { stdout } = await new Deno.Command(COMMAND, { args: ["--version"], stderr: "null" }).output();
      return /^etcd Version: (\S+)/m.exec(new TextDecoder().decode(stdout))?.[1] ?? null;
    } catch {
      return null;
    }
  },
  start: startCluster,
};

async function startCluster(n: number): Promise<Running> {
  const folder = await Deno.makeTempDir({ prefix: "quorate-bench-etcd-" });
  const ports = freePorts(2 * n);
  const places = Array.from({ length: n }, (_, i) => ({
    name: `m${i}`,
    client: `http://127.0.0.1:${ports[2 * i]}`,
    peer: `http://127.0.0.1:${ports[2 * i + 1]}`,
  }));
  const children = places.map(({ name, client, peer }) =>
    new Deno.Command(COMMAND, {
      args: [
        ...["--name", name, "--data-dir", `${folder}/${name}`],
        ...["--listen-client-urls", client, "--advertise-client-urls", client],
        ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
        ...["--initial-cluster", places.map((one) => `${one.name}=${one.peer}`).join(",")],
        ...["--logger", "zap", "--log-level", "error"],
      ],
      env: { ETCD_UNSUPPORTED_ARCH: Deno.build.arch === "aarch64" ? "arm64" : "" },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn()
  );
  const stop = async () => {
    await killAll(children);
    await Deno.remove(folder, { recursive: true });
  };
  try {
    for (const { client } of places) await ready(client, () => isHealthy(client));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    urls: places.map(({ client }) => client),
    pids: children.map(({ pid }) => pid),
    connect: (url) => EtcdDriver.connect(url),
    stop,
  };
}

async function isHealthy(url: string): Promise<boolean> {
  const response = await fetch(`${url}/health`);
  return (await response.text()).includes('"true"');
}
