/**
 * The command line. Nothing is imported before Deno's version is known, so that an old one is told so in one line and not by
 * a syntax error.
 */
const OLDEST = [2, 5] as const;

const USAGE = `usage:
  deno task start [--port 8701] [--data data]
      five nodes on this machine, ports 8701 to 8705, their files in ./data
  deno task node --id ID --kv FILE [--host 127.0.0.1] [--port 8701] [--cluster a=URL,b=URL,…] [--init]
                 [--modes PREFIX=MODE,…] [--learners f=URL,…] [--learner]
                 [--tls-cert FILE --tls-key FILE | --behind-proxy] [--trace]
      one node; --init once, to make its file a member, or with --learner one that does not vote
      or QUORATE_ID, _KV, _HOST, _PORT, _CLUSTER, _MODES, _LEARNERS; flags win
      QUORATE_PEER_SECRET: shared by all members, or two of them, "NEW,OLD"
      QUORATE_TOKENS: clients' tokens as JSON, or @FILE
      QUORATE_RATE: PER_SECOND/BURST of one subject, or off
      --trace or QUORATE_TRACE=1: remember the newest messages of each name, to be drawn
  deno task gateway --nodes URL,URL,… [--host 127.0.0.1] [--port 8700]
                    [--tls-cert FILE --tls-key FILE | --behind-proxy]
      hands requests to the nearest of these nodes, and to the next if it fails; or QUORATE_URL, comma between
  deno run --allow-net --allow-env src/cli/main.ts trace NAME [--noun NOUN] [--svg]
      what just happened to one name, a lock's unless NOUN is election, semaphore, kv or session, from the nodes at
      QUORATE_URL, comma between, and with QUORATE_TOKEN`;

/** These are not in the program's table: they have flags of their own, or run until they are told to stop. */
const OWN: ReadonlySet<string | undefined> = new Set(["start", "node", "gateway", "trace"]);
/** What a command has not settled by then, as a place in a queue that it leaves, ends by itself. */
const SETTLE_MS = 2_000;

async function run([command, ...args]: readonly string[]): Promise<number> {
  const [major = 0, minor = 0] = Deno.version.deno.split(".").map(Number);
  if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
    console.error(`quorate needs Deno ${OLDEST.join(".")} or newer; this is ${Deno.version.deno}`);
    return 1;
  }
  if (OWN.has(command) && args.includes("--help")) {
    console.log(USAGE);
    return 0;
  }
  switch (command) {
    case "start":
      return await (await import("./start.ts")).runStart(args);
    case "node":
      // No setting that members share or a store keeps; the composition root asks for the variable alone.
      if (args.includes("--trace")) Deno.env.set("QUORATE_TRACE", "1");
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

if (import.meta.main) {
  const code = await run(Deno.args);
  // Their signal listeners would keep the process alive.
  if (OWN.has(Deno.args[0])) Deno.exit(code);
  // Who gave up a place in a queue tells the nodes yet.
  Deno.exitCode = code;
  Deno.unrefTimer(setTimeout(() => Deno.exit(code), SETTLE_MS));
}
