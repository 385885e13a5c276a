/** Signals, by when they come. */
import { assertEquals } from "@std/assert";
import process from "node:process";
import { type Passed, Signals } from "../../src/cli/signals.ts";

Deno.test("signals: one that comes while the command is being started reaches it", () => {
  const signals = new Signals();
  try {
    const passed: Passed[] = [];
    process.emit("SIGTERM");
    assertEquals([signals.code, signals.waiting.aborted], [143, true]);
    signals.passTo((signal) => passed.push(signal));
    assertEquals(passed, ["SIGTERM"]);
    process.emit("SIGUSR1");
    signals.passTo(null);
    process.emit("SIGHUP");
    assertEquals(passed, ["SIGTERM", "SIGUSR1"]);
  } finally {
    signals.close();
  }
});

Deno.test("signals: those that end no wait are not kept for a command", () => {
  const signals = new Signals();
  try {
    const passed: Passed[] = [];
    process.emit("SIGUSR2");
    signals.passTo((signal) => passed.push(signal));
    assertEquals([passed, signals.code], [[], null]);
  } finally {
    signals.close();
  }
});

/** With all that was done: `stopped`, and what the child was sent. */
function stopping(run: (signals: Signals, done: string[]) => void): void {
  const done: string[] = [];
  const signals = new Signals(() => done.push("stopped"));
  try {
    run(signals, done);
  } finally {
    signals.close();
  }
}

Deno.test("signals: a stop that comes while the command is being started stops the command first", () => {
  // There is none yet that could run on.
  stopping((_signals, done) => {
    process.emit("SIGTSTP");
    assertEquals(done, ["stopped"]);
  });
  stopping((signals, done) => {
    signals.starts();
    process.emit("SIGTSTP");
    assertEquals(done, []);
    signals.passTo((signal) => done.push(signal));
    assertEquals(done.splice(0), ["SIGTSTP", "stopped"]);
    process.emit("SIGCONT");
    signals.passTo(null);
    assertEquals(done, ["SIGCONT"]);
  });
  // It was told to go on before it had stopped.
  stopping((signals, done) => {
    signals.starts();
    process.emit("SIGTSTP");
    process.emit("SIGCONT");
    signals.passTo((signal) => done.push(signal));
    assertEquals(done, []);
  });
});
