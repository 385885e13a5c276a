import { assertEquals, assertThrows } from "@std/assert";
import { Counter, Gauge, Histogram } from "../../src/observe/families.ts";
import { scraped } from "./exposition.ts";

Deno.test("families: a counter without labels is there at 0, one with labels from its first count on", () => {
  const plain = new Counter("a_total", "A.");
  const labelled = new Counter("b_total", "B.", ["noun", "path"]);
  assertEquals(plain.text(), "# HELP a_total A.\n# TYPE a_total counter\na_total 0\n");
  assertEquals(labelled.text(), "# HELP b_total B.\n# TYPE b_total counter\n");
  plain.add(2);
  labelled.add(1, "lock", "fast");
  labelled.add(1, "lock", "classic");
  labelled.add(3, "lock", "fast");
  const { samples } = scraped(plain.text() + labelled.text());
  assertEquals([...samples], [
    ["a_total", 2],
    ['b_total{noun="lock",path="fast"}', 4],
    ['b_total{noun="lock",path="classic"}', 1],
  ]);
});

Deno.test("families: what a label holds cannot end it, nor begin a line of its own", () => {
  const gauge = new Gauge("g", "G.", ["x"]);
  gauge.set(1, 'a"} 5\nb\\');
  assertEquals(gauge.text(), '# HELP g G.\n# TYPE g gauge\ng{x="a\\"} 5\\nb\\\\"} 1\n');
  assertEquals(scraped(gauge.text()).samples.size, 1);
});

Deno.test("families: a histogram's buckets include their upper ends, and add up", () => {
  const histogram = new Histogram("h_seconds", "H.", ["peer"], [0.1, 1]);
  for (const seconds of [0, 0.1, 0.11, 1, 5]) histogram.observe(seconds, "b");
  const { samples } = scraped(histogram.text());
  assertEquals([...samples], [
    ['h_seconds_bucket{peer="b",le="0.1"}', 2],
    ['h_seconds_bucket{peer="b",le="1"}', 4],
    ['h_seconds_bucket{peer="b",le="+Inf"}', 5],
    ['h_seconds_sum{peer="b"}', 6.21],
    ['h_seconds_count{peer="b"}', 5],
  ]);
  assertEquals(scraped(new Histogram("e", "E.", [], [1]).text()).samples.get('e_bucket{le="+Inf"}'), 0);
});

Deno.test("families: however many values its labels are given, a family has an end", () => {
  const counter = new Counter("c_total", "C.", ["x"]);
  for (let i = 0; i < 6_000; i++) counter.add(1, `${i}`);
  assertEquals(scraped(counter.text()).samples.size, 5_000);
});

Deno.test("exposition: the reader refuses what a scraper would", () => {
  const good = "# HELP a A.\n# TYPE a counter\na 1\n";
  scraped(good);
  for (
    const bad of [
      good.trimEnd(),
      good + good,
      good + "a 1\n",
      good.replace("a 1", "b 1"),
      good.replace("a 1", "a one"),
      good.replace("a 1", 'a{x="\n"} 1'),
      good.replace("# HELP a A.\n", ""),
      "# HELP h H.\n# TYPE h histogram\n" + 'h_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n',
    ]
  ) assertThrows(() => scraped(bad), Error, undefined, bad);
});
