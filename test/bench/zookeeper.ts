/** ZooKeeper, where Debian's `zookeeper` is installed, or the class path that QUORATE_BENCH_ZOOKEEPER names has it. */
import { ByteStream } from "./byte_stream.ts";
import { killAll, ready } from "./children.ts";
import { freePorts } from "../free_ports.ts";
import { EPHEMERAL, EPHEMERAL_SEQUENTIAL, PERSISTENT, Session } from "./jute.ts";
import type { Driver, Running, System } from "./system.ts";

const CLASS_PATH = Deno.env.get("QUORATE_BENCH_ZOOKEEPER") ?? "/usr/share/java/zookeeper.jar";
const SERVER = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
const VERSION = "org.apache.zookeeper.version.VersionInfoMain";
const HOUR_MS = 3_600_000;

/** Locks as ZooKeeper's recipes have them; a session is as long as a run. */
export class ZooKeeperDriver implements Driver {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  async acquire(name: string): Promise<string> {
    const path = await this.#session.create(`/${name}`, "", EPHEMERAL);
    if (path === null) throw new Error(`${name} is held`);
    return path;
  }

  /** A place in the queue is a numbered node, and each waits for the one before it. */
  async wait(name: string): Promise<string> {
    const queue = `/${name}`;
    const place = await this.#session.create(`${queue}/n-`, "", EPHEMERAL_SEQUENTIAL).catch(async () => {
      await this.#session.create(queue, "", PERSISTENT);
      return await this.#session.create(`${queue}/n-`, "", EPHEMERAL_SEQUENTIAL);
    });
    for (;;) {
      const places = [...await this.#session.children(queue)].sort();
      const before = places[places.indexOf(place!.slice(queue.length + 1)) - 1];
      if (before === undefined) return place!;
      await this.#session.gone(`${queue}/${before}`);
    }
  }

  async release(_name: string, path: string): Promise<void> {
    await this.#session.delete(path);
  }

  async put(key: string, value: string): Promise<void> {
    if (!await this.#session.set(`/${key}`, value)) await this.#session.create(`/${key}`, value, PERSISTENT);
  }

  async get(key: string): Promise<void> {
    await this.#session.getLatest(`/${key}`);
  }

  campaign(name: string): Promise<string> {
    return this.wait(name);
  }

  resign(name: string, path: string): Promise<void> {
    return this.release(name, path);
  }

  close(): void {
    this.#session.close();
  }
}

export const ZOOKEEPER: System = {
  name: "ZooKeeper",
  async version() {
    try {
      const { stdout } = await new Deno.Command("java", { args: ["-cp", CLASS_PATH, VERSION], stderr: "null" })
        .output();
      return /([0-9]+\.[0-9]+\.[0-9]+)/.exec(new TextDecoder().decode(stdout))?.[1] ?? null;
    } catch {
      return null;
    }
  },
  start: startCluster,
};

async function startCluster(n: number): Promise<Running> {
  const folder = await Deno.makeTempDir({ prefix: "quorate-bench-zookeeper-" });
  const ports = freePorts(3 * n);
  const clients = ports.slice(0, n);
  const members = clients.map((_, i) => `server.${i + 1}=127.0.0.1:${ports[n + i]}:${ports[2 * n + i]}`);
  const children: Deno.ChildProcess[] = [];
  const stop = async () => {
    await killAll(children);
    await Deno.remove(folder, { recursive: true });
  };
  try {
    for (const [i, port] of clients.entries()) {
      const dataDir = `${folder}/${i + 1}`;
      await Deno.mkdir(dataDir);
      await Deno.writeTextFile(`${dataDir}/myid`, `${i + 1}\n`);
      const lines = [
        ...["tickTime=2000", "initLimit=10", "syncLimit=5", `maxSessionTimeout=${HOUR_MS}`, "maxClientCnxns=0"],
        ...[`dataDir=${dataDir}`, `clientPort=${port}`, "clientPortAddress=127.0.0.1"],
        ...["admin.enableServer=false", "4lw.commands.whitelist=srvr"],
        ...(n === 1 ? [] : members),
      ];
      await Deno.writeTextFile(`${dataDir}.cfg`, `${lines.join("\n")}\n`);
      children.push(
        new Deno.Command("java", {
          args: ["-Xmx1g", "-cp", CLASS_PATH, SERVER, `${dataDir}.cfg`],
          stdin: "null",
          stdout: "null",
          stderr: "null",
        }).spawn(),
      );
    }
    for (const port of clients) await ready(`ZooKeeper on ${port}`, () => serves(port));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    urls: clients.map((port) => `${port}`),
    pids: children.map(({ pid }) => pid),
    connect: async (port) => new ZooKeeperDriver(await Session.open("127.0.0.1", Number(port), HOUR_MS)),
    stop,
  };
}

/** It tells its mode only once it is part of a quorum. */
async function serves(port: number): Promise<boolean> {
  const stream = await ByteStream.open("127.0.0.1", port);
  try {
    await stream.write(new TextEncoder().encode("srvr"));
    await stream.until(new TextEncoder().encode("Mode: "));
    return true;
  } finally {
    stream.close();
  }
}
