/** A container's health check: exits with 0 if the node of this environment answers /livez at its own URL, with 1 if not. */
const env = Deno.env.toObject();
const own = env["QUORATE_CLUSTER"]?.split(",").find((member) => member.startsWith(`${env["QUORATE_ID"]}=`));
const url = own?.slice(own.indexOf("=") + 1) ?? `http://127.0.0.1:${env["QUORATE_PORT"] ?? 8701}`;
const ca = env["QUORATE_TLS_CA"];
/** Below what the container waits for it. */
const WITHIN_MS = 4_000;

try {
  const client = Deno.createHttpClient(ca === undefined ? {} : { caCerts: [await Deno.readTextFile(ca)] });
  const { ok, status } = await fetch(`${url}/livez`, { client, signal: AbortSignal.timeout(WITHIN_MS) });
  if (!ok) throw new Error(`it answers ${status}`);
  Deno.exit(0);
} catch (error) {
  console.error(`${url}/livez: ${(error as Error).message}`);
  Deno.exit(1);
}
