/**
 * The document as a stranger's tool reads it: what it makes of /openapi.json is taken, what it makes besides is refused, and
 * every answer is one that stands there. Only where `schemathesis` is on PATH, or named by QUORATE_SCHEMATHESIS.
 */
import { assertEquals } from "@std/assert";
import { fastClock } from "../replica/clocks.ts";
import { type Apps, withApps } from "../routes/memory_apps.ts";

const TOOL = Deno.env.get("QUORATE_SCHEMATHESIS") ?? "schemathesis";
const CONFIG = new URL("./schemathesis.toml", import.meta.url).pathname;
const EXAMPLES = Number(Deno.env.get("QUORATE_EXAMPLES") ?? "10");
/** How fast time passes: the longest wait that a request may ask for is over in less than a second. */
const TIMES_AS_FAST = 500;
/** What a stream tells at once: the tool reads answers to their end, which a stream has not. */
const STREAM_READ_MS = 60;

async function isThere(): Promise<boolean> {
  try {
    return (await new Deno.Command(TOOL, { args: ["--version"] }).output()).success;
  } catch {
    return false;
  }
}

const isHere = await isThere();
Deno.test({
  name: `schemathesis finds nothing to complain of${
    isHere ? "" : ": SKIPPED, no schemathesis on PATH or by QUORATE_SCHEMATHESIS"
  }`,
  ignore: !isHere,
  fn: () => withApps(3, complain, { trace: { events: () => [] } }, { clock: fastClock(TIMES_AS_FAST) }),
});

async function complain({ handle, reports }: Apps): Promise<void> {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => ended(await handle("a", request)),
  );
  const folder = await Deno.makeTempDir();
  try {
    const url = `http://127.0.0.1:${server.addr.port}/openapi.json`;
    const many = ["--continue-on-failure", "--max-examples", `${EXAMPLES}`, "--request-timeout", "30"];
    const args = ["--config-file", CONFIG, "run", url, ...many, "--no-color"];
    const { code, stdout } = await new Deno.Command(TOOL, { args, cwd: folder }).output();
    assertEquals(code, 0, new TextDecoder().decode(stdout).slice(-20_000));
    assertEquals(reports, []);
  } finally {
    await server.shutdown();
    await Deno.remove(folder, { recursive: true });
  }
}

async function ended(response: Response): Promise<Response> {
  if (response.headers.get("content-type") !== "text/event-stream" || response.body === null) return response;
  const reader = response.body.getReader();
  const timer = setTimeout(() => reader.cancel(), STREAM_READ_MS);
  const chunks: BlobPart[] = [];
  for (let part = await reader.read(); !part.done; part = await reader.read()) chunks.push(part.value as BlobPart);
  clearTimeout(timer);
  return new Response(new Blob(chunks), { status: response.status, headers: response.headers });
}
