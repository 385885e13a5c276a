import { assertEquals, assertThrows } from "@std/assert";
import { logOf } from "../../src/config/config.ts";
import { createLog, type LogSettings } from "../../src/observe/log.ts";

function logged(settings: LogSettings, who = "node a") {
  const lines: string[] = [];
  const log = createLog({
    ...settings,
    who,
    facts: { node: "a" },
    wall: () => 0,
    out: (line) => lines.push(`out ${line}`),
    err: (line) => lines.push(`err ${line}`),
  });
  return { ...log, lines };
}

const KEY = 'lock/a "b"';
const STOPPED = { event: "key-stopped", level: "error", names: [KEY] } as const;

Deno.test("log: text has who speaks before it, and what changes on standard error", () => {
  const { report, say, lines } = logged({ format: "text", level: "info" });
  say("listening on x");
  report("b: refused", { event: "peer", level: "warn", facts: { peer: "b" } });
  assertEquals(lines, ["out node a listening on x", "err node a: b: refused"]);
  const hosted = logged({ format: "text", level: "info" }, "");
  hosted.report("b: refused");
  assertEquals(hosted.lines, ["err b: refused"]);
});

Deno.test("log: JSON is one line each, on one stream, with time, level, message and what it is about", () => {
  const { report, say, lines } = logged({ format: "json", level: "info" });
  say("listening", { event: "listening", facts: { url: "http://x" } });
  report("two\nlines", { event: "peer", level: "warn", facts: { peer: "b", up: false, cause: null } });
  const ts = "1970-01-01T00:00:00.000Z";
  assertEquals(lines.map((line) => JSON.parse(line.replace(/^out /, ""))), [
    { ts, level: "info", msg: "listening", event: "listening", node: "a", url: "http://x" },
    { ts, level: "warn", msg: "two\nlines", event: "peer", node: "a", peer: "b", up: false, cause: null },
  ]);
  assertEquals(lines.some((line) => line.includes("\n")), false);
});

Deno.test("log: a name is shown at debug only, however the line quotes it, in both formats", () => {
  const said = (settings: LogSettings) => {
    const { report, lines } = logged(settings);
    report(`${JSON.stringify(KEY)} has stopped: ${KEY} is damaged`, STOPPED);
    report("GET /v1/locks/secret-name failed", { event: "x", names: ["/v1/locks/secret-name"] });
    return lines.join("\n");
  };
  for (const format of ["text", "json"] as const) {
    for (const level of ["info", "warn", "error"] as const) {
      assertEquals(/a \\*"b|secret-name/.test(said({ format, level })), false, said({ format, level }));
    }
  }
  assertEquals(
    said({ format: "text", level: "info" }),
    'err node a: "lock/…" has stopped: lock/… is damaged\nerr node a: GET /v1/locks/… failed',
  );
  assertEquals(said({ format: "text", level: "debug" }).includes(JSON.stringify(KEY)), true);
  assertEquals(JSON.parse(said({ format: "json", level: "debug" }).split("\n")[0]!.slice(4)).names, [KEY]);
});

Deno.test("log: what is below the level is not said", () => {
  const { report, lines } = logged({ format: "text", level: "warn" });
  for (const level of ["debug", "info", "warn", "error"] as const) report(level, { event: "x", level });
  assertEquals(lines, ["err node a: warn", "err node a: error"]);
});

Deno.test("log: its settings are refused by name", () => {
  assertEquals(logOf(null, null), { format: "text", level: "info" });
  const json = { name: "--log", text: "json" };
  assertEquals(logOf(json, { name: "x", text: "debug" }), { format: "json", level: "debug" });
  assertThrows(() => logOf({ name: "--log", text: "xml" }, null), Error, '--log is not one of text, json: "xml"');
  const level = { name: "QUORATE_LOG_LEVEL", text: "all" };
  assertThrows(() => logOf(null, level), Error, "QUORATE_LOG_LEVEL is not one of debug, info, warn, error");
});
