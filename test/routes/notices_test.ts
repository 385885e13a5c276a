import { assertEquals } from "@std/assert";
import { noticesOf } from "../../routes/notices.ts";

Deno.test("notices: of a flood one line a minute, with the last subject and how many there were", () => {
  let now = 0;
  const told: [string, unknown][] = [];
  const notices = noticesOf(() => now, (line, about) => told.push([line, about?.facts]));
  notices.limited("ci");
  for (let i = 0; i < 1_000; i++) notices.limited("cron");
  notices.cut();
  now = 60_000;
  notices.limited("ci");
  notices.cut();
  assertEquals(told, [
    ["the rate limit is in force: 1 requests refused since it was last said, the last of ci", {
      count: 1,
      subject: "ci",
    }],
    ["1 streams cut off since it was last said: their readers fell behind", { count: 1 }],
    ["the rate limit is in force: 1001 requests refused since it was last said, the last of ci", {
      count: 1001,
      subject: "ci",
    }],
    ["1 streams cut off since it was last said: their readers fell behind", { count: 1 }],
  ]);
});
