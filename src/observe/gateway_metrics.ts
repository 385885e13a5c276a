/** What a gateway counts, and the text that its /metrics answers with. No label ever holds a name of users. */
import { METHODS } from "./http_methods.ts";
import { Counter, type Family, Gauge, Histogram, SECONDS } from "./families.ts";

export type GatewayMetricsOptions = {
  readonly version: string;
  /** The version of the runtime. */
  readonly deno: string;
};

export class GatewayMetrics {
  readonly #build = new Gauge("quorate_build_info", "What runs here; always 1.", ["version", "deno"]);
  readonly #seconds = new Histogram(
    "quorate_gateway_request_duration_seconds",
    "Until the answer begins, time in a queue and at every node included.",
    ["method", "code"],
    SECONDS,
  );
  readonly #refused = new Counter("quorate_gateway_refused_total", "Refusals of the gateway's own, by their code.", [
    "code",
  ]);
  readonly #unknown = new Counter(
    "quorate_gateway_outcome_unknown_total",
    "Writes whose callers were told that nobody knows their outcome.",
  );
  readonly #requests = new Counter("quorate_gateway_node_requests_total", "Requests handed to a node.", ["node"]);
  readonly #failures = new Counter("quorate_gateway_node_failures_total", "Those that it gave no answer to.", ["node"]);
  readonly #up = new Gauge("quorate_gateway_node_up", "1: it answered when it was last asked, or was never asked.", [
    "node",
  ]);
  readonly #roundTrip = new Gauge(
    "quorate_gateway_node_round_trip_seconds",
    "As the nearest node is chosen by; absent while it is not known.",
    ["node"],
  );

  constructor({ version, deno }: GatewayMetricsOptions) {
    this.#build.set(1, version, deno);
  }

  answered(method: string, status: number, ms: number): void {
    this.#seconds.observe(ms / 1_000, METHODS.has(method) ? method : "other", `${status}`);
  }

  refused(code: string, isUnknown: boolean): void {
    this.#refused.add(1, code);
    if (isUnknown) this.#unknown.add(1);
  }

  asked(node: string, hasAnswered: boolean): void {
    this.#requests.add(1, node);
    if (!hasAnswered) this.#failures.add(1, node);
  }

  /** In Prometheus' text form. */
  text(rttMs: ReadonlyMap<string, number | null>): string {
    for (const gauge of [this.#up, this.#roundTrip]) gauge.clear();
    for (const [node, ms] of rttMs) {
      // A rate of what first appears at 1 would be none.
      for (const counter of [this.#requests, this.#failures]) counter.add(0, node);
      this.#up.set(ms === null ? 0 : 1, node);
      if (ms !== null && ms > 0) this.#roundTrip.set(ms / 1_000, node);
    }
    const families: readonly Family[] = [
      this.#build,
      this.#seconds,
      this.#refused,
      this.#unknown,
      this.#requests,
      this.#failures,
      this.#up,
      this.#roundTrip,
    ];
    return families.map((family) => family.text()).join("");
  }
}
