/**
 * A Fast Paxos client without a server in between (Fast Paxos §3.1; PROTOCOL.md §1, flow 3): its Accept! goes straight to
 * every acceptor, and their Accepted are its answer. One round trip, to as many acceptors as an open quorum takes.
 *
 * @module
 */
import { type Ballot, compareBallots, STANDING } from "../paxos/ballot.ts";
import { QuorumSystem } from "../paxos/quorum.ts";
import { readMembers } from "./members.ts";
import { webWorld } from "./world.ts";

/** Where the acceptors are, who asks, and what the runtime gives. */
export type DirectOptions = {
  /** Base url of every member, by id: all of them, as a quorum is counted among them. */
  readonly members: Readonly<Record<string, string>>;
  /** The epoch that has these members, as `directMembers` tells it. In another one no command is decided. Default: 0. */
  readonly epoch?: number;
  /** Who the token speaks for; `local` without tokens on loopback. */
  readonly subject: string;
  /** Sent as `Authorization: Bearer`. Default: none, as nodes on loopback want. */
  readonly token?: string;
  /** Asks one acceptor. Let it give up in time: an acceptor that says nothing is waited for where others do not suffice. */
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
  /** SHA-256 of the text in UTF-8, in hex. */
  readonly digest: (text: string) => Promise<string>;
};

/**
 * An op of the machine, for a name of its noun: `acquire` of a lock, `take` of a semaphore, `campaign` and `proclaim` of an
 * election, `put` and `delete` of a register, `renew` and `release` of all that is held. `atMs` is 0, as it must be the same
 * wherever it arrives; times are in ms. Limits and patterns are those of `/v1`.
 */
export type DirectOp =
  | {
    readonly type: "acquire";
    readonly holder: string;
    readonly mode: "exclusive" | "shared";
    readonly ttlMs: number;
    readonly lockDelayMs: number;
    readonly metadata?: string;
    readonly atMs: 0;
  }
  | {
    readonly type: "take";
    readonly limit: number;
    readonly permits: number;
    readonly holder: string;
    readonly ttlMs: number;
    readonly lockDelayMs: number;
    readonly metadata?: string;
    readonly atMs: 0;
  }
  | {
    readonly type: "campaign";
    readonly candidate: string;
    readonly value?: string;
    readonly ttlMs: number;
    readonly atMs: 0;
  }
  | { readonly type: "renew"; readonly fence: string; readonly ttlMs?: number }
  | { readonly type: "proclaim"; readonly fence: string; readonly ttlMs?: number; readonly value?: string }
  | { readonly type: "release"; readonly fence: string; readonly atMs: 0 }
  /** `bytes` in base64; entity tags are revisions, or `*`. */
  | (DirectConditions & {
    readonly type: "put";
    readonly bytes: string;
    readonly contentType: string;
    readonly ttlMs?: number;
  })
  | (DirectConditions & { readonly type: "delete" });
/** What has to hold for a write of a register, decided with it. */
export type DirectConditions = {
  readonly ifMatch?: readonly string[];
  readonly ifNoneMatch?: readonly string[];
  readonly fence?: string;
};

/** What one round trip told of a command. */
export type DirectEnd =
  /** Chosen by an open quorum: `result` as the machine says it, such as `{outcome: "granted", fence, ttlMs}`. */
  | {
    readonly type: "decided";
    readonly instance: number;
    readonly result: { readonly outcome: string; readonly fence?: string; readonly revision?: string };
  }
  /**
   * Nobody knows yet: it collided, too few acceptors answered, or other members are in force. Send the same through a node, with this
   * Idempotency-Key and `Quorate-Hedge: BORN`: it is decided once, and the node says how.
   */
  | { readonly type: "unsettled" };

/**
 * The members as one of the nodes has them, for `members` and `epoch` of `submitDirect`. Resolves with null if this node gives
 * no answer that can be believed within two seconds. Whoever sends a token to these URLs trusts this node to name them.
 */
export async function directMembers(
  { fetch, token }: Pick<DirectOptions, "fetch" | "token">,
  url: string,
): Promise<Required<Pick<DirectOptions, "members" | "epoch">> | null> {
  const listed = await readMembers(
    { fetch, clock: webWorld.clock },
    url,
    token === undefined ? null : `Bearer ${token}`,
  );
  return listed === null ? null : { members: listed.members, epoch: listed.epoch };
}

/**
 * Sends one command to every acceptor and counts their votes. Resolves with `decided` once an open quorum has chosen it or an
 * acceptor says that it is decided, and with `unsettled` in every other case: whoever then asks a node for the same, as a hedged
 * request, counts the times of its answer from when this one was sent. No failure of an acceptor makes it reject; what
 * `digest` rejects with does, and so does a number of members that is not 1 or 3 to 9.
 *
 * @param key noun and name: `lock/NAME`, `election/NAME`, `semaphore/NAME` or `kv/NAME`
 * @param op what is to be decided
 * @param idempotencyKey the same for each try of this op, and of no other
 * @param lastInstance the `Consensus-Instance` last seen for this name, 0 if none
 */
export async function submitDirect(
  options: DirectOptions,
  key: string,
  op: DirectOp,
  idempotencyKey: string,
  lastInstance: number,
): Promise<DirectEnd> {
  const command = { subject: options.subject, id: idempotencyKey, born: lastInstance, op };
  const fields = Object.entries(op).filter(([, value]) => value !== undefined).sort(([a], [b]) => a < b ? -1 : 1);
  // The name of the value is the digest of its content, so the same bytes are the same value at every acceptor.
  const id = await options.digest(JSON.stringify([key, [command.subject, command.id, command.born, fields]]));
  const instance = lastInstance + 1;
  const { epoch = 0 } = options;
  const value = { id, proposer: "", commands: [command] };
  let ballot: Ballot = STANDING;
  // Each Any opens a higher ballot; who still finds none open after a few is better served by a node.
  for (let attempt = 0; attempt < BALLOTS_MAX; attempt++) {
    const message = { type: "accept", key, epoch, instance, ballot, value };
    const end = await propose(options, JSON.stringify({ messages: [message] }), { id, instance, lastInstance });
    if (end.type !== "open" || compareBallots(end.ballot, ballot) <= 0) return end.type === "open" ? UNSETTLED : end;
    ballot = end.ballot;
  }
  return UNSETTLED;
}

const BALLOTS_MAX = 3;
const UNSETTLED = { type: "unsettled" } as const;

type Proposal = { readonly id: string; readonly instance: number; readonly lastInstance: number };

/** One ballot. `open`: not chosen in it, and some acceptor knows a higher one that an Any has opened. */
async function propose(
  options: DirectOptions,
  body: string,
  { id, instance, lastInstance }: Proposal,
): Promise<DirectEnd | { readonly type: "open"; readonly ballot: Ballot }> {
  const quorums = new QuorumSystem(Object.keys(options.members));
  /** Who said the same, by what they said: one vote per acceptor, of one instance, ballot and value. */
  const voters = new Map<string, Set<string>>();
  const members = Object.entries(options.members);
  let open: Ballot | null = null;
  let awaited = members.length;
  return await new Promise((resolve) => {
    for (const [member, base] of members) {
      send(options, base, body, lastInstance).then((reply) => {
        awaited--;
        const result = reply?.results?.[0];
        if (reply?.type === "accepted" && reply.valueId === id && reply.instance === instance && result) {
          const said = JSON.stringify(result);
          const same = (voters.get(said) ?? new Set()).add(member);
          voters.set(said, same);
          if (quorums.isOpenFast(same)) resolve({ type: "decided", instance, result });
        }
        // Acceptors tell each other: one that has learned of the decision already says what it came to.
        if (reply?.type === "ahead" && result) resolve({ type: "decided", instance: reply.instance - 1, result });
        if (reply?.open !== undefined && (open === null || compareBallots(reply.open, open) > 0)) open = reply.open;
        if (awaited === 0) resolve(open === null ? UNSETTLED : { type: "open", ballot: open });
      });
    }
  });
}

type Reply = {
  readonly type: string;
  readonly instance: number;
  readonly valueId?: string;
  readonly open?: Ballot;
  readonly results?: readonly (Extract<DirectEnd, { type: "decided" }>["result"] | null)[];
};

/** null: no answer, which is neither a vote nor "did not vote". */
async function send(options: DirectOptions, base: string, body: string, born: number): Promise<Reply | null> {
  const headers: Record<string, string> = { "Quorate-Hedge": String(born), "Idempotency-Key": "direct" };
  if (options.token !== undefined) headers["Authorization"] = `Bearer ${options.token}`;
  try {
    const response = await options.fetch(`${base}/paxos/acceptor`, { method: "POST", body, headers });
    const { replies } = await response.json() as { replies?: readonly Reply[] };
    return replies?.[0] ?? null;
  } catch {
    return null;
  }
}
