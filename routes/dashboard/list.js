/** Names of one noun, by pages: what changes comes by the stream, and only the names of the page that is shown are kept. */
import { askJson, pause, Problem, watch } from "./api.js";
import { duration, el, setText, tableOf } from "./dom.js";
import { isAfter, linkTo, NOUNS } from "./nouns.js";

const PAGE = 100;
/** Names looked at for one page of those in a state that few are in. */
const LOOKED_AT_MAX = 1_000;
/** Names that came since a page was shown make it longer by so much. */
const ROWS_MAX = 2 * PAGE;
const DRAW_EVERY_MS = 250;
const TICK_MS = 1_000;
/** How often one name whose time ran out is read again. */
const REREAD_MS = 5_000;
const REREAD_PAUSE_MS = 200;
const REREADS_MAX = 100;
const TYPED_MS = 300;
const AGAIN_MS = 2_000;
/** Names grow old without a change that a stream tells: a list of old ones is read again so often. */
const AGED_EVERY_MS = 10_000;
/** As the choice has them, in ms. */
const AGES = { "1m": 60_000, "10m": 600_000, "1h": 3_600_000, "1d": 86_400_000 };

/** Which list's filter is being typed into, over a change of the address. */
let typedIn = null;

export function listPage(main, place) {
  new List(main, place).begin();
}

class List {
  #path;
  #config;
  #signal;
  #prefix;
  #state;
  /** How long it has been held at least, as a choice of AGES has it; "": no matter. */
  #age;
  #after;
  /** Of the page: the last name that belongs to it; null: it has no end. */
  #until = null;
  #isLoaded = false;
  /** By name, what is shown: { row, endsAtMs, readAtMs, tr, cells }. */
  #shown = new Map();
  /** By name, what is news and not drawn yet; null: it is gone. */
  #news = new Map();
  #elsewhere = 0;
  #loading = null;
  #parts;

  constructor(main, { path, query, signal }) {
    this.#path = path;
    this.#config = NOUNS[path];
    this.#signal = signal;
    this.#prefix = query.get("prefix") ?? "";
    const state = query.get("state") ?? "";
    this.#state = this.#config.states.includes(state) ? state : "";
    const age = query.get("age") ?? "";
    this.#age = this.#config.isHeld === true && Object.hasOwn(AGES, age) ? age : "";
    this.#after = query.get("after");
    this.#parts = this.#build(main);
  }

  async begin() {
    const signal = this.#signal;
    const every = (ms, run) => {
      const timer = setInterval(() => document.hidden || run(), ms);
      signal.addEventListener("abort", () => clearInterval(timer), { once: true });
    };
    every(DRAW_EVERY_MS, () => this.#draw());
    every(TICK_MS, () => this.#tick());
    if (this.#age !== "") every(AGED_EVERY_MS, () => this.#isLoaded && this.#load());
    const { live } = this.#parts;
    // A stream begins with `resync`, so that what the page is filled with is never older than the first event.
    await watch(
      `/v1/${this.#path}/events?prefix=${encodeURIComponent(this.#prefix)}`,
      signal,
      (events) => this.#take(events),
      (state, error) => {
        setText(live, state === "live" ? "live" : state === "refused" ? "not live" : "connecting…");
        live.className = `stream ${state}`;
        if (state === "live") return;
        if (state === "refused") this.#say(error.message);
        else if (!this.#isLoaded) this.#load();
      },
    );
  }

  #build(main) {
    const { title, heads, states, field } = this.#config;
    const prefix = el("input", {
      id: "prefix",
      type: "search",
      value: this.#prefix,
      maxlength: 512,
      autocomplete: "off",
      spellcheck: "false",
      oninput: () => {
        clearTimeout(timer);
        timer = setTimeout(() => this.#go({ prefix: prefix.value }, true), TYPED_MS);
      },
    });
    let timer;
    const state = el(
      "select",
      { id: "state", onchange: () => this.#go({ state: state.value }, false) },
      ...["", ...states].map((one) =>
        el("option", { value: one, selected: one === this.#state }, one === "" ? "any" : one)
      ),
    );
    const age = el(
      "select",
      { id: "age", onchange: () => this.#go({ age: age.value }, false) },
      ...["", ...Object.keys(AGES)].map((one) =>
        el("option", { value: one, selected: one === this.#age }, one === "" ? "any time" : one)
      ),
    );
    const live = el("span", { class: "stream" }, "connecting…");
    const filters = el(
      "form",
      { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
      labelled(`${field === "id" ? "Id" : field === "key" ? "Key" : "Name"} begins with`, prefix),
      labelled("State", state),
      ...(this.#config.isHeld === true ? [labelled("Held for at least", age)] : []),
      live,
    );
    const note = el("p", { class: "note", role: "status" });
    const columns = [
      el("span", {}, field === "id" ? "Id" : field === "key" ? "Key" : "Name"),
      "State",
      heads.who,
      heads.number,
      heads.more,
      "Time left",
      ...(heads.waiters === undefined ? [] : [heads.waiters]),
    ];
    const table = tableOf(`${title}, in order of their names`, columns, []);
    const next = el("a", { hidden: true }, "Next page");
    const first = el("a", { href: this.#hash({}) }, "First page");
    first.hidden = this.#after === null;
    main.append(
      el("h1", {}, title),
      filters,
      note,
      table,
      el("nav", { class: "pages", "aria-label": "Pages" }, first, next),
    );
    // Typing goes on where it was, though the address changed.
    if (typedIn === this.#path) {
      prefix.focus();
      prefix.setSelectionRange(prefix.value.length, prefix.value.length);
    }
    typedIn = null;
    return { live, note, next, body: table.querySelector("tbody") };
  }

  #hash(changes) {
    const fields = { prefix: this.#prefix, state: this.#state, age: this.#age, ...changes };
    const query = new URLSearchParams(Object.entries(fields).filter(([, text]) => text !== "" && text !== null));
    return `#/${this.#path}${query.size === 0 ? "" : `?${query}`}`;
  }

  #go(fields, isTyping) {
    if (isTyping) typedIn = this.#path;
    location.replace(this.#hash(fields));
  }

  #take(events) {
    for (const { event, data } of events) {
      if (event === "resync") {
        // What was told before is in what is read now.
        this.#news.clear();
        this.#load();
        continue;
      }
      const name = data[this.#config.field];
      if (!this.#isOfPage(name)) this.#elsewhere++;
      else if (event === "deleted") this.#news.set(name, null);
      else this.#news.set(name, data);
    }
  }

  #isOfPage(name) {
    return (this.#after === null || isAfter(name, this.#after)) &&
      (this.#until === null || !isAfter(name, this.#until));
  }

  /** A list that a node cannot read now is asked for until it can, or until a newer `resync` asks. */
  async #load() {
    const own = this.#loading = {};
    while (this.#loading === own && !this.#signal.aborted) {
      try {
        return await this.#fill(own);
      } catch (error) {
        if (this.#signal.aborted || this.#loading !== own) return;
        this.#say(error.message);
        if (error instanceof Problem && error.status < 500 && error.status !== 429) return;
      }
      await pause(AGAIN_MS, this.#signal);
    }
  }

  async #fill(own) {
    const found = [];
    let cursor = this.#after;
    let looked = 0;
    do {
      const query = new URLSearchParams({ prefix: this.#prefix, limit: String(PAGE) });
      if (this.#age !== "") query.set("heldForMs", String(AGES[this.#age]));
      if (cursor !== null) query.set("cursor", cursor);
      const page = await askJson(`/v1/${this.#path}?${query}`, { signal: this.#signal });
      // The node looks at a whole page for those that are old.
      looked += this.#age === "" ? Math.max(1, page.items.length) : PAGE;
      found.push(...page.items.map((item) => this.#config.row(item)).filter((row) => this.#isWanted(row)));
      cursor = page.cursor;
    } while (cursor !== null && found.length < PAGE && looked < LOOKED_AT_MAX && this.#loading === own);
    if (this.#signal.aborted || this.#loading !== own) return;
    this.#until = cursor;
    this.#isLoaded = true;
    // Rows that stay are not made anew: whoever is in one by keyboard stays there.
    const names = new Set(found.map(({ name }) => name));
    for (const name of [...this.#shown.keys()].filter((name) => !names.has(name))) this.#drop(name);
    for (const row of found) this.#put(row);
    const { next } = this.#parts;
    next.hidden = cursor === null;
    if (cursor !== null) next.href = this.#hash({ after: cursor });
    this.#draw();
    this.#sayCount(looked);
  }

  #isWanted({ state }) {
    return (this.#state === "" || state === this.#state) && (this.#age === "" || state === "held" || state === "led");
  }

  #draw() {
    if (!this.#isLoaded || this.#news.size === 0 && this.#elsewhere === 0) return;
    for (const [name, item] of this.#news) {
      // The page may have got its end since.
      if (!this.#isOfPage(name)) continue;
      const shown = this.#shown.get(name);
      const row = item === null ? null : this.#known(this.#config.row(item), shown);
      if (row === null || !this.#isWanted(row)) this.#drop(name);
      // An event does not say how old a hold is: names that have become old come with the next read.
      else if (shown !== undefined || this.#age === "" && this.#shown.size < ROWS_MAX) this.#put(row);
    }
    this.#news.clear();
    this.#sayCount(null);
  }

  /** Events of registers do not say how long a value lives: it stays as it was known until it is read. */
  #known(row, shown) {
    if (this.#path !== "kv") return row;
    if (shown === undefined || shown.row.state === "ephemeral") this.#reread(row.name);
    if (shown === undefined) return row;
    const lapsesInMs = shown.endsAtMs === null ? null : shown.endsAtMs - performance.now();
    return { ...row, state: shown.row.state, lapsesInMs };
  }

  #drop(name) {
    const shown = this.#shown.get(name);
    if (shown === undefined) return;
    // Whoever goes through the page by keyboard is not thrown back to its top.
    if (shown.tr.contains(document.activeElement)) {
      (shown.tr.nextElementSibling ?? shown.tr.previousElementSibling)?.querySelector("a")?.focus();
    }
    shown.tr.remove();
    this.#shown.delete(name);
  }

  #put(row) {
    const endsAtMs = row.lapsesInMs === null ? null : performance.now() + row.lapsesInMs;
    let shown = this.#shown.get(row.name);
    if (shown === undefined) {
      shown = this.#makeRow(row.name);
      this.#insert(row.name, shown.tr);
      this.#shown.set(row.name, shown);
    }
    shown.row = row;
    shown.endsAtMs = endsAtMs;
    const { state, who, number, more, waiters } = shown.cells;
    setText(state, row.state);
    shown.tr.className = row.state;
    setText(who, row.who);
    setText(number, row.number);
    setText(more, row.more);
    if (waiters !== undefined) setText(waiters, row.waiters === 0 ? "" : String(row.waiters));
    this.#showTime(shown, performance.now());
  }

  #makeRow(name) {
    const keys = [
      "state",
      "who",
      "number",
      "more",
      "time",
      ...(this.#config.heads.waiters === undefined ? [] : ["waiters"]),
    ];
    const cells = Object.fromEntries(keys.map((key) => [key, el("td", { class: key })]));
    const link = el("a", { href: linkTo(this.#path, name) }, name);
    const tr = el("tr", {}, el("th", { scope: "row" }, link), ...Object.values(cells));
    return { row: null, endsAtMs: null, readAtMs: -REREAD_MS, tr, cells };
  }

  /** In the order of names: most go to the end, when a page is filled. */
  #insert(name, tr) {
    const { body } = this.#parts;
    const rows = body.children;
    const nameAt = (i) => rows[i].firstChild.textContent;
    let low = 0;
    let high = rows.length;
    if (high > 0 && isAfter(name, nameAt(high - 1))) low = high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isAfter(name, nameAt(middle))) low = middle + 1;
      else high = middle;
    }
    body.insertBefore(tr, rows[low] ?? null);
  }

  #tick() {
    const nowMs = performance.now();
    for (const [name, shown] of this.#shown) {
      this.#showTime(shown, nowMs);
      if (shown.endsAtMs !== null && shown.endsAtMs < nowMs) this.#reread(name);
    }
  }

  #showTime({ endsAtMs, cells }, nowMs) {
    setText(cells.time, endsAtMs === null ? "" : endsAtMs <= nowMs ? "ran out" : duration(endsAtMs - nowMs));
  }

  /** One at a time: what ran out may have been kept alive without a change that a stream tells. */
  #rereads = Promise.resolve();
  #rereading = new Set();
  #reread(name) {
    const shown = this.#shown.get(name);
    if (this.#rereading.has(name) || this.#rereading.size >= REREADS_MAX) return;
    if (shown !== undefined && performance.now() - shown.readAtMs < REREAD_MS) return;
    if (shown !== undefined) shown.readAtMs = performance.now();
    this.#rereading.add(name);
    this.#rereads = this.#rereads.then(async () => {
      this.#rereading.delete(name);
      if (this.#signal.aborted) return;
      const query = new URLSearchParams({ prefix: name, limit: "1" });
      const page = await askJson(`/v1/${this.#path}?${query}`, { signal: this.#signal }).catch(() => null);
      await pause(REREAD_PAUSE_MS, this.#signal);
      // What the stream told meanwhile is newer.
      if (page === null || this.#news.has(name) || !this.#isOfPage(name)) return;
      const item = page.items.find((item) => item[this.#config.field] === name);
      const row = item === undefined ? null : this.#config.row(item);
      if (row === null || !this.#isWanted(row)) this.#drop(name);
      else if (this.#shown.has(name) || this.#shown.size < ROWS_MAX) this.#put(row);
    });
  }

  #looked = null;
  #sayCount(looked) {
    this.#looked = looked ?? this.#looked;
    const count = this.#shown.size;
    const isAll = this.#state === "" && this.#age === "";
    const more = this.#until === null ? "" : isAll ? "; there are more" : `; there may be more`;
    const of = this.#state === "" || this.#age !== "" || this.#looked === null
      ? ""
      : ` of ${this.#looked} that were looked at`;
    const elsewhere = this.#elsewhere === 0 ? "" : `; ${this.#elsewhere} changes of names on other pages`;
    this.#say(`${count}${of} shown${more}${elsewhere}.`);
  }

  #say(text) {
    setText(this.#parts.note, text);
  }
}

/** The control beside its label, or below it where the page is narrow. */
function labelled(text, control) {
  return el("span", { class: "labelled" }, el("label", { for: control.id }, text), control);
}
