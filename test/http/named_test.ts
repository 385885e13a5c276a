/** Which name a path is about, for whoever remembers something of it. */
import { assertEquals } from "@std/assert";
import { below, namedOf, targetFor, targetOf } from "../../src/http/named.ts";

Deno.test("named: a name is the same however it is written, and whatever is asked of it", () => {
  const same = [
    "/v1/locks/a%2Fb%20c",
    "/v1/locks/%61%2fb%20c",
    "/v1/locks/-?name=a%2Fb%20c",
    "/v1/locks/-?timeoutMs=5&name=a/b+c",
    "/v1/locks/-?n%61me=a/b+c",
    "/v1/locks/a%2Fb%20c/1025",
    "/v1/locks/a%2Fb%20c/history?timeoutMs=5",
  ];
  assertEquals(new Set(same.map((target) => namedOf(target)?.key)), new Set(["locks/a/b c"]));
  assertEquals(same.map((target) => namedOf(target)!.isWhole), [true, true, true, true, true, false, false]);
  assertEquals(namedOf("/v1/kv/-?key=x")?.key, "kv/x");
  assertEquals(namedOf("/v1/locks/-")?.key, "locks/-");
});

Deno.test("named: names of two nouns are two, and a plus in a path is no space", () => {
  assertEquals(namedOf("/v1/kv/x")?.key, "kv/x");
  assertEquals(namedOf("/v1/semaphores/x")?.key, "semaphores/x");
  assertEquals(namedOf("/v1/locks/a+b")?.key, "locks/a+b");
});

Deno.test("named: what no node would take for one name is none", () => {
  const none = [
    "/v1/locks",
    "/v1/locks/",
    "/v1/locks?prefix=x",
    "/v1/batch",
    "/v1/sessions/0",
    "/v1/constructor/x",
    "/v1/trace/x",
    "/v2/locks/x",
    "/openapi.json",
    "/v1/locks/%FF",
    "/v1/locks/%zz",
    "/v1/locks/-?name=%FF",
    "/v1/locks/-?name=a&name=b",
    "/v1/kv/-?key=a&name=b",
    "/v1/locks/x?name=x",
  ];
  for (const target of none) assertEquals(namedOf(target), null, target);
});

Deno.test("named: another request about the same name writes it as it came", () => {
  const inPath = namedOf("/v1/locks/a%2fb/7?timeoutMs=5")!;
  assertEquals(targetFor(inPath, "/queue/k"), "/v1/locks/a%2fb/queue/k");
  assertEquals(targetFor(inPath, "", "consistency=stale"), "/v1/locks/a%2fb?consistency=stale");
  const inQuery = namedOf("/v1/locks/-?timeoutMs=5&name=a%2fb+c")!;
  assertEquals(targetFor(inQuery, "/queue/k"), "/v1/locks/-/queue/k?name=a%2fb+c");
  assertEquals(targetFor(inQuery, "", "consistency=stale"), "/v1/locks/-?name=a%2fb+c&consistency=stale");
});

Deno.test("named: a request writes any name so that it is read again, and `events` in the query", () => {
  for (const name of ["a", "a/b c", "ü?x=1&y", "100%", "-", "q'#+", "events", "events/1"]) {
    for (const noun of ["locks", "elections", "semaphores", "kv"] as const) {
      const target = targetOf(noun, name);
      assertEquals(namedOf(target)?.key, `${noun}/${name}`);
      assertEquals(namedOf(below(target, "/queue/k", "timeoutMs=5"))?.key, `${noun}/${name}`);
    }
  }
  assertEquals(targetOf("locks", "events"), "/v1/locks/-?name=events");
  assertEquals(below(targetOf("kv", "events"), "", "ttlMs=5"), "/v1/kv/-?key=events&ttlMs=5");
  assertEquals(below("/v1/locks/x?timeoutMs=5", "/7"), "/v1/locks/x/7");
});
