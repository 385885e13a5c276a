/**
 * Composition root and edge entrypoint. `compose` puts one node together; the default export serves it, composed from
 * the environment on the first request. Importing this file opens nothing.
 */
import { peerSigner } from "./src/auth/peer_mac.ts";
import { sha256Hex } from "./src/auth/digest.ts";
import { realClock, realRandomness } from "./src/cli/world.ts";
import { clusterConfigOf, type NodeConfig, parseConfig } from "./src/config.ts";
import { QuorateError } from "./src/errors.ts";
import { createMachine } from "./src/machine/machine.ts";
import type { NodeId } from "./src/paxos/ballot.ts";
import { QuorumSystem } from "./src/paxos/quorum.ts";
import { TraceRing } from "./src/observe/trace.ts";
import { tracingTransport } from "./src/observe/tracing_transport.ts";
import { createModes } from "./src/replica/modes.ts";
import { ReplicaNode, UNCONFIRMED_BOOT } from "./src/replica/node.ts";
import { type BallotStore, type Mark, NO_TRACE, type Transport } from "./src/replica/ports.ts";
import { knownLife, type Membership, strangerIn } from "./src/replica/standing.ts";
import { openOwnerStore } from "./src/store/kv_ballot_store.ts";
import { createHttpTransport } from "./src/transport/http_transport.ts";
import { VERSION } from "./src/version.ts";
import { createApp } from "./routes/app.ts";

export type Composed = {
  readonly handler: (request: Request) => Response | Promise<Response>;
  readonly node: ReplicaNode;
  /** False: the store belongs to no member, so nothing here votes and /readyz says so. */
  readonly initialised: boolean;
  close(): Promise<void>;
};

/**
 * One node on its store, ready to answer requests; it votes once its members have confirmed the store (PROTOCOL.md §9).
 * Rejects with StoreError if the store cannot be used, with QuorateError if `init` is refused or the store is another's.
 *
 * @param report one line for the operator
 */
export async function compose(config: NodeConfig, report: (line: string) => void): Promise<Composed> {
  const { cluster, text, hash, members, modes } = clusterConfigOf(config);
  const learners = Object.keys(config.learners);
  const store = await openOwnerStore({ path: config.kv, run: () => realRandomness.id() });
  try {
    const holder: { node?: ReplicaNode } = {};
    const transport = createHttpTransport({
      urls: { ...config.urls, ...config.learners },
      config: hash,
      // A cluster of one has no peers, and so no secret to sign with.
      sign: config.secrets.length === 0 ? () => ({}) : peerSigner({ cluster, id: config.id, secrets: config.secrets }),
      fetch: (input, init) => fetch(input, init),
      clock: realClock,
      ownMark: () => holder.node?.mark() ?? NO_MARK,
      onMark: (peer, mark) => holder.node?.note(peer, mark),
    });
    // A learner answers for no vote, so a second life of it can do no harm and nobody is asked about a first one.
    if (config.init) await initialise(config.id, cluster, text, config.learner ? [] : members, store, transport);
    mustBelong({ id: config.id, cluster, config: text }, store);
    // Of this process, not of the cluster: each node may be traced or not.
    const ring = Deno.env.get("QUORATE_TRACE") === "1" ? new TraceRing(config.id, realClock) : null;
    const trace = ring ?? NO_TRACE;
    const node = new ReplicaNode({
      id: config.id,
      cluster,
      config: text,
      urls: config.urls,
      quorums: new QuorumSystem(members),
      learners,
      machine: createMachine({ digest: sha256Hex }),
      modes: createModes(members, modes, sha256Hex),
      digest: sha256Hex,
      version: VERSION,
      report,
    }, {
      store,
      transport: tracingTransport(transport, trace),
      clock: realClock,
      random: realRandomness,
      machine: createMachine({ digest: sha256Hex }),
      trace,
    });
    holder.node = node;
    const app = createApp(node, {
      tokens: config.tokens,
      rate: config.rate,
      peers: members.length + learners.length === 1 ? null : {
        cluster,
        secrets: config.secrets,
        members: () => [...members, ...learners],
        config: () => hash,
        identity: () => node.identity(),
        mark: () => node.mark(),
        note: (from, mark) => node.note(from, mark),
      },
      ...(ring === null ? {} : { trace: ring }),
      newId: () => realRandomness.id(),
      now: () => realClock.now(),
      after: (ms, run) => realClock.after(ms, run),
      report: (error, { requestId, method, path }) =>
        report(`${method} ${path} failed (request ${requestId}): ${error.stack ?? error.message}`),
    });
    const confirmed = node.start();
    confirmed.catch((error: Error) => report(`the store cannot be used: ${error.message}`));
    // Alone it has nobody to wait for, and its first caller should not have to either.
    if (members.length === 1) await confirmed;
    return {
      handler: (request) => app.fetch(request),
      node,
      initialised: store.identity() !== null,
      async close() {
        node.close();
        await store.close();
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** Of a store that belongs to nobody yet. */
const NO_MARK: Mark = { incarnation: "none", boot: UNCONFIRMED_BOOT, run: "none", seq: 0 };

async function initialise(
  id: NodeId,
  cluster: string,
  config: string,
  witnesses: readonly NodeId[],
  store: BallotStore,
  transport: Transport,
): Promise<void> {
  if (store.identity() !== null) {
    throw new QuorateError("invalid-request", `this store is ${store.identity()!.id}'s already: start without --init`);
  }
  const witness = await knownLife(transport, witnesses, id);
  if (witness !== null) {
    throw new QuorateError(
      "invalid-request",
      `${witness} knows a member ${id} that has voted: a second life of it could vote twice`,
    );
  }
  await store.init({ cluster, id, incarnation: realRandomness.id(), config });
}

function mustBelong(member: Membership, store: BallotStore): void {
  const stranger = strangerIn(store, member);
  if (stranger !== null) throw new QuorateError("invalid-request", stranger);
}

let composed: Promise<Composed> | null = null;

async function composeHosted(): Promise<Composed> {
  const config = await parseConfig([], Deno.env.toObject(), (path) => Deno.readTextFile(path));
  // Whoever can reach a hosted entrypoint is no caller on loopback.
  if (config.tokens === null) throw new QuorateError("invalid-request", "a hosted node needs QUORATE_TOKENS");
  return await compose(config, (line) => console.error(line));
}

export default {
  async fetch(request: Request): Promise<Response> {
    const composing = composed ??= composeHosted();
    try {
      await composing;
    } catch (error) {
      // Tried again with the next request: a database may be attached late. Only what could not be composed is: a store that
      // is open stays this one's.
      if (composed === composing) composed = null;
      const detail = (error as Error).message;
      return Response.json({ type: "about:blank", title: "Not ready", status: 503, code: "not-ready", detail }, {
        status: 503,
        headers: { "content-type": "application/problem+json" },
      });
    }
    return await (await composing).handler(request);
  },
};
