/**
 * The command line, in Deno whole and in Node all that asks a cluster. Nothing of it is imported before the version of the
 * runtime is known, so that an old one is told so in one line and not by a syntax error.
 *
 * @module
 */
import process from "node:process";
import { setTimeout } from "node:timers";

const OLDEST = { deno: [2, 5], node: [20, 0] } as const;

const USAGE = `usage:
  deno task start [--port 8701] [--data data]
      five nodes on this machine, ports 8701 to 8705, their files in ./data
  deno task node --id ID --kv FILE [--host 127.0.0.1] [--port 8701] [--cluster a=URL,b=URL,…] [--init [--restore FILE [--restore-number N]] | --join CLUSTER]
                 [--modes PREFIX=MODE,…] [--learners f=URL,…] [--learner]
                 [--tls-cert FILE --tls-key FILE | --behind-proxy] [--tls-ca FILE] [--insecure-peers] [--trace]
                 [--forget-after 7d|off] [--log text|json] [--log-level debug|info|warn|error]
      one node; --init once, to make its file a member, or with --learner one that does not vote; --restore: of a backup;
      --join: it waits to be made a member of a cluster that is there
      or QUORATE_ID, _KV, _HOST, _PORT, _CLUSTER, _JOIN, _MODES, _LEARNERS, _TLS_CA, _INSECURE_PEERS=1, _FORGET_AFTER, _LOG, _LOG_LEVEL;
      flags win
      QUORATE_PEER_SECRET: shared by all members, or two of them, "NEW,OLD", or @FILE
      QUORATE_TOKENS: clients' tokens as JSON, or @FILE
      QUORATE_RATE: PER_SECOND/BURST of one subject, or off
      QUORATE_CORS: origins whose pages may ask, comma between; also of a gateway
      SIGHUP: read certificates, secrets and tokens again; also of a gateway
      --trace or QUORATE_TRACE=1: remember the newest messages of each name, to be drawn
  deno task gateway --nodes URL,URL,… [--host 127.0.0.1] [--port 8700]
                    [--tls-cert FILE --tls-key FILE | --behind-proxy] [--tls-ca FILE]
                    [--fixed-nodes]
                    [--log text|json] [--log-level …]
      hands requests to the nearest of these nodes, and to the next if it fails; or QUORATE_URL, comma between
  deno run --allow-net --allow-env src/cli/main.ts trace NAME [--noun NOUN] [--svg]
      what just happened to one name, a lock's unless NOUN is election, semaphore, kv or session, from the nodes at
      QUORATE_URL, comma between, and with QUORATE_TOKEN`;

/** These are not in the program's table: they have flags of their own, or run until they are told to stop. */
const OWN: ReadonlySet<string | undefined> = new Set(["start", "node", "gateway", "trace"]);
/** These run nodes, or stand before them. */
const NODES: ReadonlySet<string | undefined> = new Set(["start", "node", "gateway"]);
/** What a command has not settled by then, as a place in a queue that it leaves, ends by itself. */
const SETTLE_MS = 2_000;

/** Why this runtime cannot run it, in one line; null: it can. */
function tooOld(): string | null {
  const { deno, node = "" } = process.versions as { readonly deno?: string; readonly node?: string };
  const [name, version, oldest] = deno === undefined ? ["Node", node, OLDEST.node] : ["Deno", deno, OLDEST.deno];
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major > oldest[0] || (major === oldest[0] && minor >= oldest[1])) return null;
  return `quorate needs ${name} ${oldest.join(".")} or newer; this is ${version}`;
}

async function run([command, ...args]: readonly string[]): Promise<number> {
  const old = tooOld();
  if (old !== null) {
    console.error(old);
    return 1;
  }
  if (OWN.has(command) && args.includes("--help")) {
    console.log(USAGE);
    return 0;
  }
  if (NODES.has(command) && !("Deno" in globalThis)) {
    console.error(
      `quorate ${command} runs in Deno alone, whose KV keeps its votes; in a checkout: npx deno task ${command}`,
    );
    return 1;
  }
  switch (command) {
    case "start":
      return await (await import("./start.ts")).runStart(args);
    case "node":
      // No setting that members share or a store keeps; the composition root asks for the variable alone.
      if (args.includes("--trace")) process.env["QUORATE_TRACE"] = "1";
      return await (await import("./node.ts")).runNode(args.filter((arg) => arg !== "--trace"));
    case "gateway":
      return await (await import("./gateway.ts")).runGateway(args);
    case "trace":
      return await (await import("./trace.ts")).runTrace(args);
    case undefined:
      console.error(USAGE);
      return 2;
    default:
      return await (await import("./program.ts")).runProgram([command, ...args], USAGE);
  }
}

/** Runs the command that these arguments are, and ends the process with its exit code. */
export async function main(args: readonly string[]): Promise<void> {
  const code = await run(args);
  // Their signal listeners would keep the process alive.
  if (OWN.has(args[0])) process.exit(code);
  // Who gave up a place in a queue tells the nodes yet.
  process.exitCode = code;
  setTimeout(() => process.exit(code), SETTLE_MS).unref();
}

if (import.meta.main) await main(process.argv.slice(2));
