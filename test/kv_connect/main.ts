/** The stand-in as a process of its own: its address on the first line, its access token on the second. */
import { parseArgs } from "node:util";
import { stopSignal } from "../../src/cli/stop_signal.ts";
import { startKvConnect } from "./server.ts";

const HELP = `deno run -A test/kv_connect/main.ts [--port 0] [--token TOKEN]

Remote Deno KV databases in memory, for tests: Deno.openKv("http://127.0.0.1:PORT/NAME") with TOKEN in
DENO_KV_ACCESS_TOKEN. Each NAME is a database of its own, empty at first; all of them end with this process.
Ends on SIGINT and SIGTERM.`;

const { values } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    token: { type: "string", default: crypto.randomUUID() },
    help: { type: "boolean", default: false },
  },
});

if (values.help) {
  console.log(HELP);
} else {
  // Asked for first: whoever reads the address may send a signal at once.
  const stopped = stopSignal();
  const server = startKvConnect({ accessToken: values.token, port: Number(values.port) });
  console.log(server.url(""));
  console.log(server.accessToken);
  await stopped;
  await server.stop();
  Deno.exit();
}
