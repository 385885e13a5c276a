/**
 * Generated requests over real HTTP to real processes: no answer outside /openapi.json, none of what it allows is refused,
 * and nothing in a log.
 */
import { assertEquals, assertGreater } from "@std/assert";
import type { OpenApi } from "../../routes/document.ts";
import { SEED, seeded } from "../replica/clocks.ts";
import { answered, DocumentChecker } from "../routes/document_checker.ts";
import { RequestGenerator } from "../routes/generated_requests.ts";
import { ISOLATES, RealCluster } from "./real_cluster.ts";

/** Fewer where two processes serve a member: that tests their common store, and every shape of a request was tested with one. */
const REQUESTS = ISOLATES === 1 ? 600 : 200;
const AT_ONCE = 8;

Deno.test(`${REQUESTS} generated requests over HTTP to three real nodes: every answer is a documented one`, async () => {
  const cluster = await RealCluster.start(3);
  try {
    const documents: OpenApi[] = await Promise.all(
      cluster.ids.map(async (id) => await (await fetch(`${cluster.url(id)}/openapi.json`)).json()),
    );
    // One for each node: what may be initialised there is its own member.
    const checkers = documents.map((document) => new DocumentChecker(document));
    const generator = new RequestGenerator(documents[1]!, seeded(SEED + 2));
    const statuses: Record<number, number> = {};
    let left = REQUESTS;
    const work = async () => {
      while (left-- > 0) {
        const { path, method, target, headers, body } = generator.next();
        const at = left % 3;
        const via = cluster.ids[at]!;
        const response = await fetch(cluster.url(via) + target, { method, headers: sendable(headers), body });
        const answer = await answered(response);
        const what = `${method} ${target} ${JSON.stringify(headers)} ${body?.slice(0, 200)} at ${via} (seed ${SEED})`;
        const asked = { target, headers: sendable(headers), body };
        assertEquals(checkers[at]!.complaintOf(path, method, asked, answer), null, what);
        statuses[answer.status] = (statuses[answer.status] ?? 0) + 1;
        if (answer.status === 200 && method === "POST" && /^\{"(name|id)"/.test(answer.text)) {
          generator.granted(path, JSON.parse(answer.text));
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    console.log(`${REQUESTS} generated requests over HTTP by status: ${JSON.stringify(statuses)}`);
    for (const status of [200, 400]) assertGreater(statuses[status] ?? 0, 0);
    for (const id of cluster.ids) assertEquals(cluster.complaints(id), [], cluster.output(id));
  } finally {
    await cluster.stop();
  }
});

/** fetch refuses to send the others. */
function sendable(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, value.replaceAll(/[^\x20-\xff]/g, "")]),
  );
}
