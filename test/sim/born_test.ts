import { assertEquals } from "@std/assert";
import { QuorateError } from "../../src/errors.ts";
import { bornIn, forgottenFault, outcomeIn } from "./born.ts";

Deno.test("forgottenFault: without a born nobody is called expired, with one only as an unknown outcome", () => {
  const known = new QuorateError("expired-command", "too old", { outcome: "none" });
  const unknown = new QuorateError("expired-command", "too old", { outcome: "unknown" });
  assertEquals(forgottenFault(unknown, 2, true), null);
  assertEquals(forgottenFault(known, 2, true), "was called expired on try 2, and not that its outcome is unknown");
  assertEquals(forgottenFault(unknown, 1, false), "was called expired on its first try, without any born");
});

Deno.test("bornIn: among the facts of an unknown outcome; outcomeIn: as the problem document says", () => {
  const facts = (born: unknown) => new QuorateError("outcome-unknown", "", { more: { born } });
  assertEquals([bornIn(facts(7)), bornIn(facts("7")), bornIn(new QuorateError("held", ""))], [7, undefined, undefined]);
  assertEquals(outcomeIn(new QuorateError("outcome-unknown", "")), "unknown");
  assertEquals(outcomeIn(new QuorateError("held", "")), undefined);
});
