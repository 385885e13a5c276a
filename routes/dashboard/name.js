/** One name: who has it, who waits, how the latest holds ended, and how its last decisions came about. */
import { ask, askJson, watch } from "./api.js";
import { announce, duration, el, refill, rowOf, setText, tableOf } from "./dom.js";
import { forceButton } from "./force.js";
import { NOUNS, pathOf } from "./nouns.js";
import { valueEditor } from "./value.js";

const TICK_MS = 1_000;
/** History and chart of a name that changes all the time are read again this often. */
const AGAIN_MS = 1_000;
/** How often what ran out is read again: it may have been kept alive without a change that a stream tells. */
const REREAD_MS = 5_000;

export async function namePage(main, { path, name, signal }) {
  const config = NOUNS[path];
  const live = el("span", { class: "stream" }, "connecting…");
  const note = el("p", { class: "note", role: "status" });
  const state = el("div");
  const actions = el("div", { class: "actions" });
  const history = el("div");
  const chart = el("div");
  main.append(
    el("p", {}, el("a", { href: `#/${path}` }, config.title)),
    el("h1", { class: "name" }, name),
    el("p", {}, live),
    note,
    state,
    actions,
    history,
    chart,
  );
  const say = (error) => {
    if (!signal.aborted) setText(note, error.message);
  };
  /** What the browser's clock says of each hold. */
  let clocks = [];
  let readAtMs = performance.now();
  const timer = setInterval(() => {
    if (document.hidden) return;
    for (const { cell, endsAtMs } of clocks) showTime(cell, endsAtMs);
    const nowMs = performance.now();
    if (nowMs - readAtMs < REREAD_MS || !clocks.some(({ endsAtMs }) => endsAtMs < nowMs)) return;
    readAtMs = nowMs;
    askJson(pathOf(path, name), { signal }).then(show, say);
  }, TICK_MS);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });

  /** Who is cut off by a force, as of now. */
  let holders = [];
  const verbs = await askJson(`/v1/access?${new URLSearchParams({ noun: config.noun, name })}`, { signal })
    .then(({ verbs }) => verbs, (error) => {
      say(error);
      return [];
    });
  if (signal.aborted) return;
  const isAdmin = verbs.includes("admin");
  const editor = path === "kv" ? valueEditor(name, isAdmin && verbs.includes("write"), signal, say) : null;
  if (editor !== null) state.before(editor.element);
  const hasGrants = path !== "kv" && path !== "sessions";
  if (hasGrants && isAdmin) actions.append(forceButton(path, name, () => holders));

  const more = throttled(AGAIN_MS, signal, async () => {
    if (hasGrants) refill(history, historyOf(path, await askJson(pathOf(path, name, "/history"), { signal })));
    await drawChart(chart, config.noun, name, signal);
  }, say);

  let revision = 0n;
  const show = (body) => {
    // What was asked for may be older than what the stream has told meanwhile.
    if (body !== null && BigInt(body.revision) < revision) return;
    if (body !== null) revision = BigInt(body.revision);
    const shown = shownOf(path, body);
    holders = shown.holders;
    clocks = shown.clocks;
    refill(state, ...shown.elements);
  };
  await watch(
    pathOf(path, name, "/events"),
    signal,
    (events) => {
      const { event, data } = events.at(-1);
      setText(note, "");
      if (event === "deleted") {
        show(null);
        announce(`${name} is gone`);
      } else if (path !== "kv") show(data);
      editor?.changed(event === "deleted" ? null : data);
      more();
    },
    (now, error) => {
      setText(live, now === "live" ? "live" : now === "refused" ? "not live" : "connecting…");
      live.className = `stream ${now}`;
      if (now === "refused") say(error);
    },
  );
}

/** Runs at once, then at most every `ms`, and once more after the last call. */
function throttled(ms, signal, run, say) {
  let state = "idle";
  const go = async () => {
    state = "running";
    await run().catch((error) => say(error));
    setTimeout(() => {
      if (signal.aborted) return;
      if (state === "again") go();
      else state = "idle";
    }, ms);
  };
  return () => {
    if (state === "idle") go();
    else state = "again";
  };
}

function showTime(cell, endsAtMs) {
  const leftMs = endsAtMs - performance.now();
  setText(cell, leftMs <= 0 ? "ran out" : duration(leftMs));
}

/** What is shown of a state, who holds, and the cells that count down. `body` null: it is gone. */
function shownOf(path, body) {
  const clocks = [];
  const timeCell = (lapsesInMs) => {
    const cell = el("td", { class: "time" });
    const endsAtMs = performance.now() + lapsesInMs;
    showTime(cell, endsAtMs);
    clocks.push({ cell, endsAtMs });
    return cell;
  };
  if (body === null) return { elements: [el("p", {}, "There is none.")], holders: [], clocks };
  if (path === "kv") return { elements: [], holders: [], clocks };
  if (path === "sessions") return { elements: sessionOf(body, timeCell), holders: [], clocks };
  const isElection = path === "elections";
  const holders = isElection ? (body.leader === null ? [] : [body.leader]) : body.holders;
  const who = isElection ? "candidate" : "holder";
  const extra = { locks: "mode", elections: "value", semaphores: "permits" }[path];
  const fence = isElection ? "term" : "fence";
  const rows = holders.map((holder) =>
    rowOf([
      el("th", { scope: "row" }, holder[who]),
      holder[fence],
      holder[extra] ?? "",
      timeCell(holder.lapsesInMs),
      ...(isElection ? [] : [holder.metadata ?? ""]),
    ])
  );
  const heads = [
    isElection ? "Leader" : "Holder",
    isElection ? "Term" : "Fence",
    { locks: "Mode", elections: "Says", semaphores: "Permits" }[path],
    "Time left",
    ...(isElection ? [] : ["Metadata"]),
  ];
  return {
    holders: holders.map((holder) => ({ who: holder[who], fence: holder[fence] })),
    clocks,
    elements: [
      factsOf([
        ["State", isElection ? (body.leader === null ? "free" : "led") : body.state],
        [isElection ? "Last term" : "Last fence", body.lastFence ?? body.lastTerm],
        ["Revision", body.revision],
        ...(path === "semaphores" && body.limit !== null
          ? [["Free permits", `${body.available} of ${body.limit}`]]
          : []),
      ]),
      rows.length === 0 ? el("p", {}, isElection ? "Nobody leads." : "Nobody holds it.") : tableOf(
        isElection ? "Leader" : "Holders",
        heads,
        rows,
      ),
      ...queueOf(body, who, path),
    ],
  };
}

function factsOf(facts) {
  return el(
    "dl",
    { class: "cards" },
    ...facts.map(([title, text]) => el("div", {}, el("dt", {}, title), el("dd", {}, text))),
  );
}

function queueOf({ waiters, waiterCount }, who, path) {
  if (waiterCount === 0) return [el("p", {}, "Nobody waits.")];
  const more = { locks: "mode", semaphores: "permits" }[path];
  const rows = waiters.map((waiter) =>
    rowOf([
      String(waiter.position),
      el("th", { scope: "row" }, waiter[who]),
      ...(more === undefined ? [] : [waiter[more]]),
    ])
  );
  const heads = ["Position", "Who", ...(more === undefined ? [] : [more === "mode" ? "Mode" : "Permits"])];
  return [tableOf(`Queue: ${waiterCount} ${waiterCount === 1 ? "waits" : "wait"}`, heads, rows)];
}

function sessionOf({ holder, ttlMs, lapsesInMs, bound, revision }, timeCell) {
  const rows = bound.map(({ noun, name }) => {
    const path = Object.keys(NOUNS).find((path) => NOUNS[path].noun === noun);
    return rowOf([noun, el("a", { href: `#/${path}/${encodeURIComponent(name)}` }, name)]);
  });
  return [
    tableOf("Session", ["Holder", "Lives by", "Time left", "Revision"], [
      rowOf([holder, duration(ttlMs), timeCell(lapsesInMs), revision]),
    ]),
    rows.length === 0
      ? el("p", {}, "Nothing is bound to it.")
      : tableOf("What lives as long as it does", ["Noun", "Name"], rows),
  ];
}

function historyOf(path, { items }) {
  if (items.length === 0) return el("p", {}, "No hold of it has ended yet.");
  const isElection = path === "elections";
  const rows = items.toReversed().map((item) =>
    rowOf([
      isElection ? item.term : item.fence,
      isElection ? item.candidate : item.holder,
      item.subject,
      timeOf(item.from),
      timeOf(item.to),
      item.reason === undefined ? item.end : `${item.end}: ${item.reason}`,
    ], { class: item.end })
  );
  const heads = [isElection ? "Term" : "Fence", isElection ? "Leader" : "Holder", "Subject", "From", "To", "End"];
  return tableOf("How the latest holds ended, newest first", heads, rows);
}

function timeOf(iso) {
  return el("time", { datetime: iso }, new Date(iso).toLocaleString());
}

/** The chart is shown as a picture, in which nothing runs, and as text for who does not see it. */
const isTraced = document.documentElement.dataset.trace !== undefined;
async function drawChart(box, noun, name, signal) {
  if (!isTraced) return refill(box, untraced());
  const query = new URLSearchParams({ name, noun });
  const svg = await (await ask(`/v1/trace/-?${query}&format=svg`, { signal })).blob();
  const text = await (await ask(`/v1/trace/-?${query}&format=text`, { signal })).text();
  const url = URL.createObjectURL(svg);
  const picture = el("img", { src: url, alt: "Sequence chart; the same as text is below" });
  picture.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
  const isOpen = box.querySelector("details")?.open === true;
  refill(
    box,
    el("h2", {}, "How its last decisions came about, as this node saw it"),
    el("div", { class: "chart", tabindex: "0", role: "region", "aria-label": "Sequence chart" }, picture),
    el("details", { open: isOpen }, el("summary", {}, "The chart as text"), el("pre", { tabindex: "0" }, text)),
  );
}

function untraced() {
  return el(
    "p",
    {},
    "This node does not remember how its decisions came about. Start it with ",
    el("code", {}, "QUORATE_TRACE=1"),
    " to see them drawn here.",
  );
}
