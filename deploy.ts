/** What a hosting platform runs: a node, or a gateway, composed from the environment on the first request. Importing this opens nothing. */
import { compose, type Composed } from "./src/compose/composed.ts";
import { gatewayBefore } from "./src/compose/gateway_before.ts";
import { faultOf } from "./src/compose/init.ts";
import { Outward } from "./src/compose/outward.ts";
import { consoleLog, realRandomness } from "./src/compose/world.ts";
import { corsOf, isLoopbackHost, logOf, parseConfig, portOf } from "./src/config/config.ts";
import { learnsIn, nodesOf } from "./src/config/gateway_config.ts";
import { fromEnv, readerOf } from "./src/config/settings.ts";
import { caOf } from "./src/config/tls.ts";
import { QuorateError } from "./src/errors.ts";
import { notReady } from "./src/http/not_ready.ts";
import { isLoopback } from "./src/http/request_head.ts";
import { StoreError } from "./src/ports.ts";
import { withCors } from "./routes/cors.ts";

/** A platform kills 5 s after it asked for an end; what is still under way then is cut off, and asked again with its key. */
const DRAIN_MS = 3_500;
/** A runtime that serves the default export says so by then; else this file was run, and serves by itself. */
const SERVED_WITHIN_MS = 50;

let composed: Promise<Served> | null = null;
/** Requests under way; what a stream sends later is not counted. */
let open = 0;
let isDraining = false;
/** Host that is listened on; null: nothing yet. */
let servedOn: string | null = null;

type Served = Pick<Composed, "handler" | "drain" | "close">;

async function composeHosted(): Promise<Served> {
  const env = Deno.env.toObject();
  const nodes = env["QUORATE_GATEWAY"];
  if (nodes !== undefined) {
    const origins = nodesOf({ name: "QUORATE_GATEWAY", text: nodes });
    // As `deno task gateway`: nodes on loopback may take whoever comes from this machine for its owner, as all would here.
    const isBeforeLocal = origins.some((origin) => isLoopback(new URL(origin).host));
    if (isBeforeLocal && !isLoopbackHost(servedOn ?? "")) {
      throw new QuorateError("invalid-request", "QUORATE_GATEWAY has a node on loopback, and this listens beyond it");
    }
    const cors = corsOf(fromEnv(env, "QUORATE_CORS"), { hasOwner: !isBeforeLocal });
    const closing = new AbortController();
    const ca = await caOf(fromEnv(env, "QUORATE_TLS_CA"), readerOf((path) => Deno.readTextFile(path)));
    const log = logOf(fromEnv(env, "QUORATE_LOG"), fromEnv(env, "QUORATE_LOG_LEVEL"));
    const { report } = consoleLog(log, "gateway", { gateway: "hosted" });
    const handler = withCors(
      cors,
      gatewayBefore({ nodes: origins, learnMembers: learnsIn(env) }, cors, new Outward(ca), closing.signal, report),
    );
    return { handler, drain: () => closing.abort(), close: () => Promise.resolve() };
  }
  refusePreview(env);
  const config = await parseConfig([], env, (path) => Deno.readTextFile(path), { isHosted: isHosted(env) });
  // Whoever can reach a hosted entrypoint is no caller on loopback.
  if (config.tokens === null) throw new QuorateError("invalid-request", "a hosted node needs QUORATE_TOKENS");
  const node = await compose(config, consoleLog(config.log, "", { node: config.id }).report);
  return { handler: withCors(config.cors, node.handler), drain: () => node.drain(), close: () => node.close() };
}

function isHosted(env: Readonly<Record<string, string>>): boolean {
  return env["DENO_DEPLOY"] !== undefined || env["DENO_DEPLOYMENT_ID"] !== undefined;
}

/** A preview of an app has its settings and a database of its own: it would be a second life of the same member. */
function refusePreview(env: Readonly<Record<string, string>>): void {
  const timeline = env["DENO_TIMELINE"];
  if (timeline === undefined || timeline === "production") return;
  throw new QuorateError("not-ready", `this is a preview (DENO_TIMELINE is ${timeline}): only production votes`);
}

/** Answers what has come, then closes the store; whoever comes meanwhile is sent elsewhere. */
async function drain(): Promise<void> {
  if (isDraining) return;
  isDraining = true;
  const node = await composed?.catch(() => null) ?? null;
  node?.drain();
  const endMs = performance.now() + DRAIN_MS;
  while (open > 0 && performance.now() < endMs) await new Promise((resolve) => setTimeout(resolve, 20));
  const late = new Promise((resolve) => setTimeout(resolve, Math.max(0, endMs - performance.now()) + 500));
  await Promise.race([node?.close(), late]);
  Deno.exit(0);
}

async function answer(request: Request): Promise<Response> {
  if (isDraining) return notReady(request, "this process is ending", realRandomness.id);
  const composing = composed ??= composeHosted();
  try {
    await composing;
  } catch (error) {
    // Tried again with the next request: a database may be attached late. Only what could not be composed is: a store that
    // is open stays this one's.
    if (composed === composing) composed = null;
    if (!(error instanceof StoreError)) return notReady(request, (error as Error).message, realRandomness.id);
    console.error(error.message);
    return notReady(request, faultOf(error), realRandomness.id);
  }
  return await (await composing).handler(request);
}

async function answerCounted(request: Request): Promise<Response> {
  open++;
  try {
    return await answer(request);
  } finally {
    open--;
  }
}

/** What `deno serve` and a hosting platform run: the node that the environment describes. */
export default {
  fetch: answerCounted,
  /** `deno serve` calls it. */
  onListen({ hostname, port }: { readonly hostname: string; readonly port: number }): void {
    servedOn = hostname;
    console.error(`serving on ${hostname} port ${port}`);
  },
};

if (import.meta.main) {
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, () => void drain());
  // `deno run` of this file: nobody but itself serves it.
  setTimeout(() => {
    if (servedOn !== null) return;
    const at = address(Deno.env.toObject());
    servedOn = at.hostname ?? "";
    Deno.serve(at, answerCounted);
  }, SERVED_WITHIN_MS);
}

/** A platform knows where; it routes to what listens anywhere. */
function address(env: Readonly<Record<string, string>>): { readonly hostname?: string; readonly port?: number } {
  if (isHosted(env)) return {};
  const text = env["QUORATE_PORT"];
  const port = portOf(text === undefined ? null : { name: "QUORATE_PORT", text });
  return { hostname: env["QUORATE_HOST"] ?? "127.0.0.1", port };
}
