/** One example of each problem document, as /openapi.json shows it. */
import type { ErrorCode } from "../src/errors.ts";
import { PROBLEMS, RETRY_AFTER_MS } from "../src/http/problem.ts";
import { WIRE_ADVICE, WIRES, wireWords } from "../src/version.ts";

type Example = Readonly<Record<string, unknown>> & { readonly detail: string };

const HOLDER = { holder: "worker-7", fence: "31745", mode: "exclusive", lapsesInMs: 21_400 };
const KEY = "01JD9W8Y6K3T";
const DEAD = ["a", "c"].map((id) => ({
  id,
  cause: "refused",
  detail: "nothing listens at its URL",
  since: "2026-11-28T09:00:00.000Z",
}));

/** What each says besides that which its code alone says. */
const FACTS: Readonly<Record<ErrorCode, Example>> = {
  "invalid-request": { detail: "ttlMs is not a whole number from 1000 to 3600000", field: "ttlMs" },
  "unauthenticated": { detail: "this needs a known token: Authorization: Bearer …" },
  "peer-unauthenticated": { detail: "no valid Quorate-Mac for this request" },
  "peer-hello": { detail: "this node is b.Zx81.4 now", to: "b.Zx81.4" },
  "peer-misdirected": { detail: "this node is not the one that the request is for" },
  "forbidden": { detail: "no scope of ci allows lock:write here" },
  "cross-site": { detail: "without tokens, pages of another origin are refused" },
  "unknown-peer": { detail: "the sender is no member of this cluster" },
  "not-found": { detail: "fence 31745 was never granted to you" },
  "no-route": { detail: "nothing is here; see /openapi.json" },
  "method-not-allowed": { detail: "PATCH is not allowed here; allowed: GET, HEAD, POST, DELETE" },
  "held": { detail: "deploy/api is held", holders: [HOLDER], queue: 2, retryAfterMs: 5_000 },
  "led": {
    detail: "scheduler is led",
    leader: { candidate: "worker-7", term: "31745", lapsesInMs: 21_400, value: "http://10.0.0.7:8080" },
    queue: 2,
    retryAfterMs: 5_000,
  },
  "limit-mismatch": { detail: "gpu is in use with the limit 4" },
  "precondition-failed": { detail: "what is there is not what If-Match names" },
  "fence-too-low": { detail: "this key has seen the fence 31746" },
  "cooling": { detail: "deploy/api is cooling after a lapse", holders: [], queue: 0, retryAfterMs: 1_200 },
  "expired-command": { detail: "too much was decided since this command was first tried" },
  "config-mismatch": { detail: "a runs another ClusterConfig than b" },
  "wire-mismatch": { detail: `this is in wire 1, and a speaks ${wireWords(WIRES)}: ${WIRE_ADVICE}` },
  "not-upgraded": { detail: "not all nodes know version 4 of the machine: b knows up to 3", behind: ["b"] },
  "lost": { detail: "fence 31745 is no longer held", fence: "31745" },
  "request-timeout": { detail: "the body did not come to its end within 10000 ms" },
  "too-large": { detail: "the body is over 65536 bytes" },
  "idempotency-mismatch": { detail: "this Idempotency-Key was used for another request" },
  "rate-limited": { detail: "more than 200 requests a second of ci, or 400 at once", retryAfterMs: 5 },
  "queue-full": { detail: "the queue of deploy/api is full", retryAfterMs: 5_000 },
  "too-many-streams": { detail: "4096 streams are open at this node", retryAfterMs: 15_000 },
  "no-quorum": {
    detail: "nothing was sent: only 1 of 3 members answer, 2 are needed (a: refused, c: refused)",
    peers: DEAD,
  },
  "overloaded": {
    detail: "this node has more to do than it can, and began nothing of this: no turn came in time",
    retryAfterMs: 1_000,
  },
  "not-ready": { detail: "only 1 of 3 members answer, 2 are needed (a: refused, c: refused)", peers: DEAD },
  "outcome-unknown": {
    detail: "not decided in time; repeat it with the same Idempotency-Key",
    idempotencyKey: KEY,
  },
  "internal": { detail: "the node failed to answer; its log has the reason under this requestId" },
};

export const PROBLEM_EXAMPLES = Object.fromEntries(
  (Object.keys(PROBLEMS) as ErrorCode[]).map((code) => {
    const { title, status, retryable, outcome } = PROBLEMS[code];
    const known = { type: "about:blank", title, status, code, requestId: "b0Tz6Lk2QmXw", retryable };
    const when = status === 503 || status === 504 ? { retryAfterMs: RETRY_AFTER_MS } : {};
    return [code, { value: { ...known, ...(outcome !== undefined && { outcome }), ...when, ...FACTS[code] } }];
  }),
);
