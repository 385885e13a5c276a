/** A node whose store was put back has to find out by itself, and never votes again. */
import { call, pause, type RealCluster } from "./real_cluster.ts";

const LOOKS_MAX = 2_400;
const LOOK_AGAIN_MS = 50;

/** Looks again and again until `isOver`, and then as long as it takes to be found out; one line per violation. */
export async function votesOf(
  cluster: RealCluster,
  id: string,
  isOver: () => boolean,
  looksMax = LOOKS_MAX,
): Promise<string[]> {
  let isFoundOut = false;
  for (let i = 0; !isOver() || (!isFoundOut && i < looksMax); i++) {
    const status = await call(cluster.url(id), "GET", "/v1/status");
    if (status?.body["voting"] === true) return [`${id} votes with a store that was put back`];
    isFoundOut ||= /quarantined/.test(String(status?.body["reason"]));
    await pause(LOOK_AGAIN_MS);
  }
  return isFoundOut ? [] : [`${id} was not found out: its store was put back`];
}
