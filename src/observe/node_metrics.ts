/** What a node counts of itself, and the text that /metrics answers with. No label ever holds a name of users. */
import type { NodeStatus, Receipt } from "../api.ts";
import { receiptOf } from "../engine/receipt.ts";
import type { QuorateError } from "../errors.ts";
import { changesOf } from "../machine/changes.ts";
import { KEY_PREFIXES, nounOf, type WatchedNoun } from "../nouns.ts";
import type { Snapshot, State, Value } from "../paxos/message.ts";
import type { Meter, NodeId } from "../ports.ts";
import { Census } from "./census.ts";
import { Counter, type Family, Gauge, Histogram, SECONDS } from "./families.ts";
import { METHODS } from "./http_methods.ts";

const NOUNS = Object.keys(KEY_PREFIXES) as WatchedNoun[];
const GRANTED_NOUNS = ["lock", "election", "semaphore"] as const;

export type NodeMetricsOptions = {
  readonly me: NodeId;
  readonly version: string;
  /** The version of the runtime. */
  readonly deno: string;
  /** Monotonic, in ms. */
  readonly now: () => number;
  /** Bytes of the store on disk; null: it is no file of this node. Default: so. */
  readonly storeBytes?: () => Promise<number | null>;
};

/** What is asked of the node when somebody reads. */
export type Present = {
  readonly status: NodeStatus;
  readonly hasQuorum: boolean;
  readonly storeFault: string | null;
  readonly streams: number;
};

export class NodeMetrics implements Meter {
  readonly #me: NodeId;
  readonly #storeBytes: () => Promise<number | null>;
  readonly #census: Census;
  readonly #families: Family[] = [];

  readonly #build = this.#gauge("build_info", "What runs here; always 1.", ["version", "deno"]);
  readonly #quorum = this.#gauge("quorum", "1: a classic quorum of members votes, as this node sees it.");
  readonly #voting = this.#gauge(
    "voting",
    "1: this node votes; 0: a learner, rolled back, uninitialised, or its store fails.",
  );
  readonly #decisions = this.#counter("decisions_total", "Values of this node that were decided, by how.", [
    "noun",
    "path",
  ]);
  readonly #decisionSeconds = this.#histogram(
    "decision_duration_seconds",
    "From a proposal of this node to the decision of its instance.",
    ["path"],
  );
  readonly #requestSeconds = this.#histogram(
    "request_duration_seconds",
    "Until the answer begins, time in a queue included.",
    ["route", "method", "code"],
  );
  readonly #collisions = this.#counter("collisions_total", "Proposals of this node that met another in a fast ballot.");
  readonly #recoveries = this.#counter(
    "recoveries_total",
    "coordinated: begun here by the coordinator; uncoordinated: decided so for this node; prepare: ballots of its own.",
    ["kind"],
  );
  readonly #modeChanges = this.#counter(
    "mode_changes_total",
    "Names that are decided another way since a value of this node.",
    ["to"],
  );
  readonly #unknown = this.#counter(
    "outcome_unknown_total",
    "Writes whose callers were told that nobody knows their outcome.",
  );
  readonly #roundTrip = this.#histogram("peer_round_trip_seconds", "From a message to a peer to its answer.", ["peer"]);
  readonly #failures = this.#counter("peer_failures_total", "Messages to a peer without a usable answer.", ["peer"]);
  readonly #up = this.#gauge("peer_up", "1: the last request to the peer got a usable answer.", ["peer"]);
  readonly #commitSeconds = this.#histogram(
    "store_commit_duration_seconds",
    "From a change of a record until it is durable, waiting for other commits included.",
  );
  readonly #conflicts = this.#counter(
    "store_conflicts_total",
    "Commits tried again, as another process had changed the record.",
  );
  readonly #size = this.#gauge("store_size_bytes", "The files of the store; absent where it is a remote database.");
  readonly #failing = this.#gauge("store_failing", "1: the store fails as a whole, as on a full disk.");
  readonly #stopped = this.#gauge("stopped_names", "Names that this node answers nothing of; /v1/status has them.");
  readonly #grants = this.#counter("grants_total", "Holds and sessions granted by values of this node.", ["noun"]);
  readonly #lapses = this.#counter("lapses_total", "Leases that ran out, ended by values of this node.", ["noun"]);
  readonly #forced = this.#counter("forced_total", "Holds that an admin ended through this node.", ["noun"]);
  readonly #forgotten = this.#counter(
    "forgotten_total",
    "Names that nobody had used for long, forgotten but for their fences by values of this node.",
    ["noun"],
  );
  readonly #refused = this.#counter("refused_total", "Refusals told to clients, by their code.", ["code"]);
  readonly #held = this.#gauge("held", "Holds now, of names that this process has seen move.", ["noun"]);
  readonly #waiting = this.#gauge("waiting", "Waiters now, of names that this process has seen move.", ["noun"]);
  readonly #oldestWait = this.#gauge(
    "oldest_wait_seconds",
    "How long the first of some queue has been the first, at most.",
  );
  readonly #oldestHold = this.#gauge(
    "oldest_hold_seconds",
    "How long the first holder of some name has been that, at most.",
  );
  readonly #sessions = this.#gauge("sessions", "Sessions now, of those that this process has seen move.");
  readonly #streams = this.#gauge("streams", "Streams of events that are open.");
  readonly #streamsCut = this.#counter("streams_cut_total", "Streams cut off, as their readers fell behind.");
  readonly #rateLimited = this.#counter("rate_limited_total", "Requests refused by the rate limit.");

  constructor({ me, version, deno, now, storeBytes = () => Promise.resolve(null) }: NodeMetricsOptions) {
    this.#me = me;
    this.#storeBytes = storeBytes;
    this.#census = new Census(now);
    this.#build.set(1, version, deno);
    // A rate of what first appears at 1 would be none.
    for (const noun of [...GRANTED_NOUNS, "session"]) this.#grants.add(0, noun);
    for (const noun of NOUNS) {
      this.#lapses.add(0, noun);
      this.#forgotten.add(0, noun);
    }
    for (const noun of GRANTED_NOUNS) this.#forced.add(0, noun);
    for (const kind of ["coordinated", "uncoordinated", "prepare"]) this.#recoveries.add(0, kind);
  }

  moved(key: string, before: State, { state, decidedBy }: Snapshot, value: Value | null): void {
    this.#census.moved(key, state);
    const noun = nounOf(key);
    if (noun === null || value === null || decidedBy === null || !this.#isOwn(value, before)) return;
    const { path } = receiptOf(decidedBy);
    this.#decisions.add(1, noun, named(path));
    if (decidedBy.kind === "open" && path === "recovered") this.#recoveries.add(1, "uncoordinated");
    const { granted, lapsed, forced, isForgotten, modeTo } = changesOf(before, state, value);
    if (granted > 0) this.#grants.add(granted, noun);
    if (lapsed > 0) this.#lapses.add(lapsed, noun);
    if (forced > 0) this.#forced.add(forced, noun);
    if (isForgotten) this.#forgotten.add(1, noun);
    if (modeTo !== null) this.#modeChanges.add(1, modeTo);
  }

  /** One node alone counts a decision: whose value it is, and of a value of nobody's the name's coordinator. */
  #isOwn({ id, proposer }: Value, { mode }: State): boolean {
    if (proposer !== "") return proposer === this.#me;
    if (id.startsWith(`${this.#me}/`)) return true;
    return !id.includes("/") && mode.kind !== "prepare" && mode.coordinator === this.#me;
  }

  drove(path: Receipt["path"], ms: number): void {
    this.#decisionSeconds.observe(ms / 1_000, named(path));
  }

  collided(): void {
    this.#collisions.add(1);
  }

  recovering(kind: "coordinated" | "prepare"): void {
    this.#recoveries.add(1, kind);
  }

  committed(ms: number): void {
    this.#commitSeconds.observe(ms / 1_000);
  }

  conflicted(): void {
    this.#conflicts.add(1);
  }

  peerAnswered(peer: NodeId, ms: number): void {
    this.#roundTrip.observe(ms / 1_000, peer);
  }

  peerFailed(peer: NodeId): void {
    this.#failures.add(1, peer);
  }

  /** @param route as its template is in the document */
  answered(route: string, method: string, status: number, ms: number): void {
    this.#requestSeconds.observe(ms / 1_000, route, METHODS.has(method) ? method : "other", `${status}`);
  }

  refused({ code, facts }: QuorateError, isUnknown: boolean): void {
    this.#refused.add(1, code);
    if ((facts.outcome ?? (isUnknown ? "unknown" : "none")) === "unknown") this.#unknown.add(1);
  }

  limited(): void {
    this.#rateLimited.add(1);
  }

  cut(): void {
    this.#streamsCut.add(1);
  }

  /** In Prometheus' text form. */
  async text({ status, hasQuorum, storeFault, streams }: Present): Promise<string> {
    this.#quorum.set(hasQuorum ? 1 : 0);
    this.#voting.set(status.voting ? 1 : 0);
    for (const { id, reachable } of status.members) if (id !== this.#me) this.#up.set(reachable ? 1 : 0, id);
    this.#failing.set(storeFault === null ? 0 : 1);
    this.#stopped.set(status.stopped?.count ?? 0);
    const bytes = await this.#storeBytes();
    if (bytes !== null) this.#size.set(bytes);
    const { held, waiting, oldestHoldMs, oldestWaitMs, sessions } = this.#census.count();
    for (const noun of GRANTED_NOUNS) {
      this.#held.set(held.get(noun) ?? 0, noun);
      this.#waiting.set(waiting.get(noun) ?? 0, noun);
    }
    this.#oldestHold.set(oldestHoldMs / 1_000);
    this.#oldestWait.set(oldestWaitMs / 1_000);
    this.#sessions.set(sessions);
    this.#streams.set(streams);
    return this.#families.map((family) => family.text()).join("");
  }

  #counter(name: string, help: string, labels?: readonly string[]): Counter {
    return this.#kept(new Counter(`quorate_${name}`, help, labels));
  }

  #gauge(name: string, help: string, labels?: readonly string[]): Gauge {
    return this.#kept(new Gauge(`quorate_${name}`, help, labels));
  }

  #histogram(name: string, help: string, labels: readonly string[] = []): Histogram {
    return this.#kept(new Histogram(`quorate_${name}`, help, labels, SECONDS));
  }

  #kept<F extends Family>(family: F): F {
    this.#families.push(family);
    return family;
  }
}

/** As labels are written. */
function named(path: Receipt["path"]): string {
  return path.replace("-", "_");
}
