import { assertEquals } from "@std/assert";
import { Names } from "../../src/observe/names.ts";

Deno.test("names: values and commands by first appearance, however many", () => {
  const names = new Names();
  const ids = ["q", "w", "e", "r", "t", "y", "u"];
  assertEquals(ids.map((id) => names.value(id)), ["V", "W", "X", "Y", "Z", "V2", "W2"]);
  assertEquals(names.value("e"), "X");
  assertEquals([names.command("one"), names.command("two"), names.command("one")], ["c1", "c2", "c1"]);
});

Deno.test("names: ballots lose their nonce; a second attempt with one number at one instance has a prime", () => {
  const names = new Names();
  assertEquals(names.ballot("0..1", 1), "0..1");
  assertEquals(names.ballot("1.a/n1.0", 1), "1.a.0");
  assertEquals(names.ballot("1.a/n2.0", 1), "1.a'.0");
  assertEquals(names.ballot("1.a/n1.1", 1), "1.a.1");
  assertEquals(names.ballot("1.a/n3.0", 2), "1.a.0");
});
