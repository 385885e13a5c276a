/** What the document says of the fields that its schemas say nothing of: a field of one name means the same wherever it stands. */

/** By the name of the field, or by `SHAPE.FIELD` where it means something of its own there. */
const FIELDS: Readonly<Record<string, string>> = {
  available: "Permits that nobody holds; null: nobody has said a limit yet.",
  boot: "How many times this node has opened its store.",
  bound: "What lives as long as this session.",
  candidate: "Who campaigns, as it calls itself.",
  cause: "Why, as a word that stays the same.",
  changing: "Names that have to move from the epoch before into this one; left out once they have.",
  cluster: "The cluster that its store belongs to; empty before it is initialised.",
  code: "What went wrong, as a word that stays the same. Decide by it, never by the text.",
  contentType: "The Content-Type that it was put with.",
  count: "How many.",
  cursor: "To be sent as `cursor` for the next page; null: this is the last.",
  detail: "What happened, for people.",
  end: "How it ended: given back, not renewed in time, ended by an admin, or with its session.",
  epoch: "Which set of members is in force.",
  fault: "Why this node cannot work with it; it is left out while it can.",
  fence:
    "The fencing token, a decimal number: it grows with every grant of a name. Compare fences as integers, never as text.",
  field: "The JSON path of the field that is wrong.",
  from: "When it was granted, by a node's wall clock.",
  grants: "One for each name, in the order in which they were asked for.",
  holder: "Who holds it or waits, as it calls itself.",
  holders: "Who holds it now.",
  id: "What names it.",
  idempotencyKey: "The key of the request: repeat it with this key.",
  incarnation: "Which store it is: another one of the same node has another.",
  items: "Newest last in a history, in the order of names in a page.",
  key: "What names the register.",
  lapsesInMs: "An estimate of when somebody else can have it, unless it is renewed.",
  leader: "Who leads; null: nobody does.",
  limit: "How many permits there are; all who use a semaphore at a time say the same.",
  lockDelayMs:
    "How long after a lapse nobody gets it, so that what its last holder has sent can arrive. A release needs none.",
  members: "The nodes that vote.",
  metadata: "More for people, who see it beside the holder.",
  method: "As in a request of its own.",
  mode: "`shared`: with other shared holders. `exclusive`: alone.",
  name: "What names it.",
  names: "Their names.",
  noun: "What kind of thing it is, as the path of its requests says.",
  others: "Nodes that are no members and that asked this one in vain.",
  outcome: "What became of it.",
  permits: "How many permits.",
  position: "The place in the queue, from 1.",
  prefix: "How all names begin that the event is about.",
  queue: "How many wait.",
  reason: "Why.",
  requestId: "Names this request in the log of the node.",
  retryAfterMs: "When to ask again.",
  retryable: "Whether the same request may succeed later.",
  revision: "A decimal number that grows whenever this name changes. As `after` it asks for what is newer.",
  rttMs: "How long a request to it took of late, or has waited until now; 0: not known.",
  seq: "How many commits its store has made.",
  sizeBytes: "The length of the value.",
  state: "`cooling`: free, but for the delay after a lapse.",
  status: "The HTTP status.",
  stopped: "Names whose records are damaged or contradict what others hold: this node says nothing of them.",
  subject: "Whose token it was.",
  term: "The number of the time in which one leads, a decimal number: the fence of what a leader writes.",
  title: "The code in words.",
  to: "When it ended, by a node's wall clock.",
  ttlMs: "How long it lasts unless it is renewed.",
  type: "Always this: `code` says which problem it is.",
  url: "Where this node looks for it.",
  value: "What the leader says of itself, for all to read.",
  version: "The version of the program.",
  voting: "Whether this node votes.",
  waitMs: "How long to wait in the queue; 0: not at all.",
  waiterCount: "How many wait, also where not all are listed.",
  waiters: "Who waits, in order; at most 100.",
  yours: "The fence of what you hold of it already, under this holder.",
  "Problem.outcome": "What became of a write: nothing was done (`none`), or nobody can tell (`unknown`).",
  "Changing.from": "The epoch that names have to leave.",
  "Changing.to": "The epoch in force, which they go into.",
  "NodeStatus.reason": "Why this node does not vote.",
  "Force.reason": "Why it is ended, for the history.",
};

const SESSION_ID = "5b2f0c9d41e84a7f9c3e6d8a7b1f2e40";

const STATES = {
  LockState: {
    name: "deploy",
    state: "held",
    holders: [{ ...held("ci-1", "6145"), mode: "exclusive", lapsesInMs: 59_774 }],
    waiters: [{ holder: "ci-2", position: 1, mode: "exclusive" }],
    waiterCount: 1,
    lastFence: "6145",
    revision: "7169",
  },
  ElectionState: {
    name: "main",
    leader: { candidate: "host-1", term: "1025", lapsesInMs: 14_210, value: "host-1:8080" },
    waiters: [{ candidate: "host-2", position: 1 }],
    waiterCount: 1,
    lastTerm: "1025",
    revision: "2049",
  },
  SemaphoreState: {
    name: "gpu",
    state: "held",
    limit: 4,
    available: 3,
    holders: [{ ...held("ci-1", "1025"), permits: 1, lapsesInMs: 29_120 }],
    waiters: [],
    waiterCount: 0,
    lastFence: "1025",
    revision: "1025",
  },
  SessionState: {
    id: SESSION_ID,
    holder: "worker-7",
    ttlMs: 15_000,
    lapsesInMs: 13_400,
    bound: [{ noun: "locks", name: "deploy" }],
    revision: "2049",
  },
} as const;

const MEMBERS = ["a", "b", "d"].map((id, i) => ({ id, url: `https://10.0.0.${i + 1}:8701` }));
const CHANGING = { from: 0, to: 1, sealed: 2, of: 3, moved: 1_024, total: 48_211, spare: 0 };
const IN_FORCE = { cluster: "q-8e5f2c1d7a90", epoch: 1, members: MEMBERS, before: ["a", "b", "c"], changing: CHANGING };

const ENDED = {
  subject: "local",
  from: "2026-11-28T09:00:00.000Z",
  to: "2026-11-28T09:00:41.207Z",
  end: "released",
} as const;

/** One valid instance of each shape that a client sends or is told. */
const EXAMPLES: Readonly<Record<string, unknown>> = {
  Raised: { machine: 3, before: 2 },
  ...STATES,
  LockPage: page(STATES.LockState),
  ElectionPage: page(STATES.ElectionState),
  SemaphorePage: page(STATES.SemaphoreState),
  SessionPage: page(STATES.SessionState),
  BackupPage: {
    cluster: "q-8e5f2c1d7a90",
    restored: 0,
    origin: [{ id: "a", incarnation: "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed" }],
    items: [{ key: "kv/config", instance: 2, hash: "0f".repeat(16), state: {} }],
    cursor: "lock/",
  },
  Members: IN_FORCE,
  MembersChanged: { outcome: "changed", ...IN_FORCE },
  ChangeMembers: { expect: 0, members: MEMBERS },
  KvPage: page({ key: "config", revision: "1025", contentType: "text/plain", sizeBytes: 2 }),
  History: { items: [{ ...held("ci-1", "1025"), ...ENDED }], revision: "3073" },
  ElectionHistory: { items: [{ candidate: "host-1", term: "1025", ...ENDED }], revision: "3073" },
  BatchResults: [
    {
      status: 200,
      headers: { "Content-Type": "application/json" },
      body: { outcome: "released", fence: "6145", revision: "8193" },
    },
  ],
  Acquire: { holder: "ci-1", ttlMs: 60_000, waitMs: 20_000 },
  AcquireAll: { names: ["disk/1", "disk/2"], holder: "ci-1", ttlMs: 60_000 },
  Renew: { ttlMs: 60_000 },
  Force: { reason: "the host of ci-1 burned down" },
  Campaign: { candidate: "host-1", value: "host-1:8080", ttlMs: 15_000, waitMs: 300_000 },
  Proclaim: { value: "host-1:8081" },
  Take: { limit: 4, permits: 1, holder: "ci-1" },
  Open: { holder: "worker-7", ttlMs: 15_000 },
  Batch: [
    { method: "POST", path: "/v1/locks/deploy", body: { holder: "ci-1" } },
    { method: "PUT", path: "/v1/kv/config", body: "on", headers: { "Content-Type": "text/plain" } },
  ],
  Grant: { name: "deploy", ...held("ci-1", "6145"), mode: "exclusive", ...times(60_000, 1_971), revision: "6145" },
  GrantSet: {
    grants: ["disk/1", "disk/2"].map((name) => ({
      name,
      ...held("ci-1", "1025"),
      mode: "exclusive",
      ...times(60_000, 0),
      revision: "1025",
    })),
  },
  RepairPlan: {
    node: "c",
    members: [
      { id: "a", record: "sound", instance: 12, hash: "0f".repeat(16) },
      { id: "b", record: "sound", instance: 12, hash: "0f".repeat(16) },
      { id: "c", record: "damaged", reason: "the ballot row is damaged: it is not as it was written" },
    ],
    action: "repair",
    detail: "members decide values that change nothing, until they stand above instance 13",
  },
  Repair: { noun: "lock", name: "deploy" },
  Repaired: { node: "c", outcome: "repaired", instance: 14, hash: "1e".repeat(16) },
  Released: { outcome: "released", fence: "6145", revision: "8193" },
  Forced: { outcome: "forced", count: 1, revision: "8193" },
  Access: { subject: "ci", verbs: ["read", "write"] },
  Left: { outcome: "left", revision: "8193" },
  Leadership: {
    name: "main",
    candidate: "host-1",
    term: "1025",
    ...times(15_000, 0),
    value: "host-1:8080",
    revision: "1025",
  },
  Resigned: { outcome: "released", term: "1025", revision: "3073" },
  SemaphoreGrant: {
    name: "gpu",
    ...held("ci-1", "1025"),
    permits: 1,
    limit: 4,
    ...times(30_000, 0),
    revision: "1025",
  },
  KvWritten: { key: "config", revision: "1025" },
  KvDeleted: { outcome: "deleted", key: "config", revision: "2049" },
  SessionGrant: { id: SESSION_ID, holder: "worker-7", ...times(15_000, 0), revision: "1025" },
  SessionEnded: { outcome: "ended", id: SESSION_ID, revision: "3073" },
};

type Schema = {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly description?: string;
};

/** The same schemas, each of their fields described, and with an example where there is one. */
export function withTexts(schemas: Readonly<Record<string, object>>): Readonly<Record<string, object>> {
  return Object.fromEntries(
    Object.entries(schemas).map(([name, schema]) => {
      const example = EXAMPLES[name];
      return [name, { ...described(name, schema), ...(example === undefined ? {} : { examples: [example] }) }];
    }),
  );
}

function described(shape: string, schema: Schema): Schema {
  const { properties, items, anyOf } = schema;
  const fields = Object.entries(properties ?? {}).map(([name, field]) => {
    const description = field.description ?? FIELDS[`${shape}.${name}`] ?? FIELDS[name];
    return [name, { ...described(shape, field), ...(description === undefined ? {} : { description }) }];
  });
  return {
    ...schema,
    ...(properties === undefined ? {} : { properties: Object.fromEntries(fields) }),
    ...(items === undefined ? {} : { items: described(shape, items) }),
    ...(anyOf === undefined ? {} : { anyOf: anyOf.map((each) => described(shape, each)) }),
  };
}

function held(holder: string, fence: string) {
  return { holder, fence };
}

function page(item: object) {
  return { items: [item], cursor: null };
}

function times(ttlMs: number, waitedMs: number) {
  return { ttlMs, guaranteedForMs: ttlMs * 0.99, lapsesInMs: ttlMs * 1.01, waitedMs };
}
