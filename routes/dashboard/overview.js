/** What this node knows of itself and of the others, asked again every two seconds; and what it counts, where it counts. */
import { ask, askJson, pause, Problem, untilVisible } from "./api.js";
import { announce, duration, el, refill, rowOf, setText, svg, tableOf } from "./dom.js";
import { linkTo, NOUNS } from "./nouns.js";

const EVERY_MS = 2_000;
/** What a node counts is a longer text than its status. */
const COUNTED_EVERY_MS = 6_000;
/** Half the side of the map, and how far from its middle the others stand. */
const MAP = { half: 130, radius: 92 };
const PATHS = { fast: "fast", open_fast: "open fast", classic: "classic", recovered: "recovered" };

export async function overviewPage(main, { signal }) {
  const cards = el("dl", { class: "cards" });
  const map = el("figure", { class: "map" });
  const table = el("div");
  const more = el("div");
  const note = el("p", { class: "note", role: "status" });
  main.append(el("h1", {}, "Overview"), note, cards, el("div", { class: "beside" }, map, table), more);
  /** What was counted last, and before that; null: nothing was. */
  let now = null;
  let before = null;
  let counts = null;
  let faults = "";
  while (!signal.aborted) {
    try {
      const status = await askJson("/v1/status", { signal });
      counts ??= await mayCount(signal);
      if (counts && (now === null || performance.now() - now.atMs >= COUNTED_EVERY_MS)) {
        const of = await metrics(signal);
        before = now;
        now = of === null ? null : { atMs: performance.now(), of };
      }
      setText(note, "");
      cards.replaceChildren(...cardsOf(status, now, before));
      map.replaceChildren(...mapOf(status));
      refill(table, membersOf(status));
      refill(more, ...othersOf(status), ...stoppedOf(status));
      const silent = status.members.filter(({ reachable }) => !reachable).map(({ id }) => id).join(", ");
      if (silent !== faults) announce(silent === "" ? "Every member answers" : `No answer from ${silent}`);
      faults = silent;
    } catch (error) {
      if (signal.aborted) return;
      setText(note, error instanceof Problem ? error.message : "This node does not answer. What is shown is old.");
      main.classList.toggle("stale", true);
      await pause(EVERY_MS, signal);
      continue;
    }
    main.classList.toggle("stale", false);
    await pause(EVERY_MS, signal);
    await untilVisible(signal);
  }
}

/** Null: nobody knows now. */
async function metrics(signal) {
  return await ask("/metrics", { headers: { accept: "text/plain" }, signal })
    .then((response) => response.text()).then(samplesIn, () => null);
}

/** Asked beforehand, as a refusal would be a line in the console each time. */
async function mayCount(signal) {
  if (document.documentElement.dataset.metrics === undefined) return false;
  const { verbs } = await askJson("/v1/access?noun=metrics", { signal });
  return verbs.includes("read");
}

/** Prometheus' text form, but for buckets: by name, values with their labels. */
export function samplesIn(text) {
  const samples = new Map();
  for (const [, name, labels = "", value] of text.matchAll(/^([a-z_]+)(?:\{(.*)\})? (\S+)$/gm)) {
    const pairs = [...labels.matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) => [key, text]);
    if (!samples.has(name)) samples.set(name, []);
    samples.get(name).push({ labels: Object.fromEntries(pairs), value: Number(value) });
  }
  return samples;
}

function cardsOf(status, now, before) {
  const answering = status.members.filter(({ reachable }) => reachable).length;
  const cards = [
    ["Members that answer", `${answering} of ${status.members.length}`, answering < status.members.length],
    ["This node votes", status.voting ? "yes" : "no", !status.voting],
  ];
  if (now !== null) cards.push(...countedCards(now, before));
  return cards.map(([title, text, isBad = false, isLong = false]) =>
    el("div", { class: isBad ? "bad" : isLong ? "long" : null }, el("dt", {}, title), el("dd", {}, text))
  );
}

function countedCards(now, before) {
  const sum = (name, { of } = now, keep = () => true) =>
    (of.get(name) ?? []).reduce((sum, { labels, value }) => keep(labels) ? sum + value : sum, 0);
  const age = (name) => sum(name) > 0 ? duration(sum(name) * 1_000) : "none";
  const rates = Object.entries(PATHS).map(([path, title]) => {
    const of = (counted) => sum("quorate_decisions_total", counted, (labels) => labels.path === path);
    const perSecond = (of(now) - of(before ?? now)) / Math.max(1, (now.atMs - (before ?? now).atMs) / 1_000);
    return `${title} ${Math.max(0, perSecond).toFixed(1)}`;
  });
  return [
    ["Held", String(sum("quorate_held"))],
    ["Waiting", String(sum("quorate_waiting"))],
    ["Oldest wait", age("quorate_oldest_wait_seconds")],
    ["Oldest hold", age("quorate_oldest_hold_seconds")],
    ["Sessions", String(sum("quorate_sessions"))],
    ["Streams", String(sum("quorate_streams"))],
    ["Decisions a second, by this node", before === null ? "…" : rates.join(", "), false, true],
  ];
}

/** This node in the middle; what it shows stands in the table too, for those who do not see it. */
function mapOf({ id, members }) {
  const { half, radius } = MAP;
  const others = members.filter((member) => member.id !== id);
  const at = (i) => {
    const angle = 2 * Math.PI * i / Math.max(1, others.length) - Math.PI / 2;
    return { x: Math.round(radius * Math.cos(angle)), y: Math.round(radius * Math.sin(angle)) };
  };
  const node = ({ x, y }, name, kind) =>
    svg(
      "g",
      { class: `node ${kind}`, transform: `translate(${x} ${y})` },
      svg("circle", { r: 20 }),
      svg("text", { "text-anchor": "middle", dy: "5" }, shortened(name)),
    );
  const drawing = svg(
    "svg",
    { viewBox: `${-half} ${-half} ${2 * half} ${2 * half}`, role: "img", "aria-label": `The nodes as ${id} sees them` },
    ...others.map((member, i) => svg("line", { class: kindOf(member), x1: 0, y1: 0, x2: at(i).x, y2: at(i).y })),
    ...others.map((member, i) => node(at(i), member.id, kindOf(member))),
    ...others.map((member, i) =>
      svg(
        "text",
        { class: "rtt", "text-anchor": "middle", x: at(i).x * 0.55, y: at(i).y * 0.55 - 4 },
        member.reachable ? `${member.rttMs} ms` : "",
      )
    ),
    node({ x: 0, y: 0 }, id, "self"),
  );
  return [drawing, el("figcaption", {}, `As ${id} sees it: round trips, and who answers.`)];
}

function kindOf({ reachable, fault }) {
  return !reachable ? "down" : fault === undefined ? "up" : "odd";
}

function shortened(name) {
  return name.length > 5 ? `${name.slice(0, 4)}…` : name;
}

function membersOf(status) {
  const rows = status.members.map((member) => {
    const isSelf = member.id === status.id;
    const votes = isSelf ? (status.voting ? "yes" : `no: ${status.reason ?? ""}`) : votesOf(member);
    return rowOf([
      el("th", { scope: "row" }, member.id, isSelf ? " (this node)" : ""),
      el("td", { class: "address" }, member.url),
      member.reachable ? "yes" : "no",
      isSelf || !member.reachable ? "" : `${member.rttMs} ms`,
      isSelf ? "" : member.heardAgoMs === null ? "never" : `${duration(member.heardAgoMs)} ago`,
      votes,
    ], { class: kindOf(member), "data-node": member.id });
  });
  const heads = ["Member", "Address", "Answers", "Round trip", "Heard", "Votes, or why not"];
  return tableOf(`Members of ${status.cluster}, as ${status.id} sees them`, heads, rows);
}

function votesOf({ fault }) {
  return fault === undefined ? "yes" : `${fault.cause}: ${fault.detail}`;
}

function othersOf({ others = [] }) {
  if (others.length === 0) return [];
  const rows = others.map(({ id, cause, detail, since }) => rowOf([id, cause, detail, since], { class: "odd" }));
  return [tableOf("Other nodes that something is wrong with", ["Node", "Cause", "In words", "Since"], rows)];
}

function stoppedOf({ stopped }) {
  if (stopped === undefined) return [];
  const rows = stopped.names.map(({ noun, name, reason }) => {
    const path = Object.keys(NOUNS).find((path) => NOUNS[path].noun === noun);
    return rowOf([noun, path === undefined ? name : el("a", { href: linkTo(path, name) }, name), reason]);
  });
  const caption = `Names that this node says nothing of: ${stopped.count}`;
  return [tableOf(caption, ["Noun", "Name", "Why"], rows)];
}
