import { assert, assertEquals } from "@std/assert";
import { Watched } from "./watched.ts";

function withCommitted(): Watched {
  const watched = new Watched("x", "none");
  watched.committed(3n, "a");
  watched.committed(3n, "a");
  watched.committed(7n, "b");
  return watched;
}

Deno.test("watched: what was committed, in order, some of it left out, is in order", () => {
  const watched = withCommitted();
  watched.told(0n, "none");
  watched.told(7n, "b");
  assertEquals([watched.faults(), watched.revision, watched.isUpToDate, watched.events], [[], 7n, true, 2]);
  watched.committed(9n, "c");
  assert(!watched.isUpToDate);
});

Deno.test("watched: an event again, an older one, one of another state, one before any commit, are found", () => {
  const faultsOf = (tell: (watched: Watched) => void) => {
    const watched = withCommitted();
    tell(watched);
    return watched.faults();
  };
  assertEquals(faultsOf((watched) => (watched.told(3n, "a"), watched.told(3n, "a"))).length, 1);
  assertEquals(faultsOf((watched) => (watched.told(7n, "b"), watched.told(3n, "a"))).length, 1);
  assertEquals(faultsOf((watched) => watched.told(7n, "a")), [
    "x: was told a at revision 7, where disks have b",
  ]);
  assertEquals(faultsOf((watched) => watched.told(8n, "c")).length, 1);
  assertEquals(faultsOf((watched) => watched.committed(7n, "c")).length, 1);
});

Deno.test("watched: who begins anew may be told what is older, but knows what it knew", () => {
  const watched = withCommitted();
  watched.read(7n, "b");
  assertEquals([watched.revision, watched.known, watched.isUpToDate], [null, 7n, true]);
  watched.told(3n, "a");
  watched.begin();
  watched.told(0n, "none");
  assertEquals([watched.faults(), watched.revision, watched.known], [[], 0n, 7n]);
  watched.told(0n, "none");
  assertEquals(watched.faults().length, 1);
});

Deno.test("watched: a read, or the answer that there is nothing newer, that is behind what was told before, is found", () => {
  const watched = withCommitted();
  watched.read(7n, "b", 7n);
  watched.nothingAbove(7n, 7n);
  assertEquals(watched.faults(), []);
  watched.read(3n, "a", 7n);
  watched.nothingAbove(3n, 7n);
  assertEquals(watched.faults(), [
    "x: a read came to revision 3, though 7 was told before",
    "x: nothing above 3, though 7 was told before",
  ]);
});
