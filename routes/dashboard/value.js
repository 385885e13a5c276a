/** A register's value as text, JSON or hex; what is saved replaces what was read, and nothing newer. */
import { askJson, Problem, write } from "./api.js";
import { announce, bytes, el, setText } from "./dom.js";
import { pathOf } from "./nouns.js";

const VIEWS = ["text", "json", "hex"];

/** @param {boolean} mayWrite else it is only shown */
export function valueEditor(key, mayWrite, signal, say) {
  const facts = el("p");
  const view = el(
    "select",
    { id: "view", onchange: () => show() },
    ...VIEWS.map((one) => el("option", { value: one }, one === "json" ? "JSON" : one)),
  );
  const area = el("textarea", {
    id: "value",
    rows: 12,
    spellcheck: "false",
    autocomplete: "off",
    readonly: !mayWrite,
    oninput: () => {
      isEdited = true;
      setText(note, "");
    },
  });
  const note = el("p", { class: "note", role: "status" });
  const save = el("button", { type: "button", hidden: !mayWrite, onclick: () => store() }, "Save");
  const again = el("button", { type: "button", hidden: true, onclick: () => read() }, "Take what is there");
  const element = el(
    "section",
    { "aria-label": "Value" },
    facts,
    el("div", { class: "filters" }, el("label", { for: "view" }, "Show as"), view),
    el("label", { for: "value" }, "Value"),
    area,
    note,
    el("div", { class: "actions" }, save, again),
  );
  /** What was read last: an item of a list, and its bytes. */
  let known = null;
  let isEdited = false;

  async function read() {
    try {
      // A list of one: it says what a GET does, how long the value lives, and that there is none without a refusal.
      const query = new URLSearchParams({ prefix: key, limit: "1", values: "true" });
      const { items } = await askJson(`/v1/kv?${query}`, { signal });
      const item = items.find((item) => item.key === key);
      if (item === undefined) return gone();
      const isFirst = known === null;
      known = { ...item, bytes: Uint8Array.from(atob(item.value), (char) => char.charCodeAt(0)) };
      if (isFirst) view.value = viewOf(known);
      again.hidden = true;
      setText(note, "");
      show();
    } catch (error) {
      if (!signal.aborted) say(error);
    }
  }

  function show() {
    if (known === null) return;
    const { bytes: value, revision, contentType, session, ttlMs } = known;
    const life = session !== undefined
      ? `, lives as long as session ${session}`
      : ttlMs !== undefined
      ? `, ends ${ttlMs / 1_000} s after it was put last`
      : "";
    setText(facts, `${contentType}, ${bytes(value.length)}, revision ${revision}${life}`);
    const { text, isWhole } = shownAs(view.value, value);
    area.value = text;
    isEdited = false;
    // What is no UTF-8 is changed by its bytes alone, and what a session keeps is its owner's to put again.
    const isFixed = !mayWrite || !isWhole || session !== undefined;
    area.readOnly = isFixed;
    save.disabled = isFixed;
    if (!isWhole) setText(note, `This value is no ${view.value === "json" ? "JSON" : "UTF-8"}.`);
  }

  function gone() {
    known = null;
    area.value = "";
    area.readOnly = true;
    save.disabled = true;
    setText(facts, "There is no value.");
  }

  async function store() {
    const { revision, contentType, ttlMs } = known;
    const value = bytesOf(view.value, area.value);
    if (typeof value === "string") return setText(note, value);
    const life = ttlMs === undefined ? "" : `&ttlMs=${ttlMs}`;
    save.disabled = true;
    try {
      const headers = { "if-match": `"${revision}"`, "content-type": contentType };
      await write("PUT", pathOf("kv", key) + life, { headers, body: value });
      announce("Saved");
      await read();
      setText(note, "Saved.");
    } catch (error) {
      const isOther = error instanceof Problem && error.status === 412;
      setText(note, isOther ? "Not saved: somebody else has changed it since." : error.message);
      again.hidden = !isOther;
      save.disabled = false;
    }
  }

  return {
    element,
    /** Told of every change; what is being edited stays as it is. */
    changed(data) {
      if (data === null) return gone();
      if (known?.revision === data.revision) return;
      if (!isEdited) return read();
      setText(note, "Somebody else has changed it since. Saving is refused until you take what is there.");
      again.hidden = false;
    },
  };
}

function viewOf({ bytes, contentType }) {
  if (/[/+]json\b/.test(contentType) && shownAs("json", bytes).isWhole) return "json";
  return shownAs("text", bytes).isWhole ? "text" : "hex";
}

/** `isWhole`: what is shown can be saved as it is. */
function shownAs(view, bytes) {
  if (view === "hex") return { text: hexOf(bytes), isWhole: true };
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return { text: new TextDecoder().decode(bytes), isWhole: false };
  }
  // A text area makes every line end a line feed.
  if (view === "text") return { text, isWhole: !text.includes("\r") };
  try {
    JSON.parse(text);
    return { text: indented(text), isWhole: true };
  } catch {
    return { text, isWhole: false };
  }
}

/** JSON with other white space alone: to parse and write it would round long numbers. */
function indented(json) {
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  const tokens = json.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g);
  return tokens.map((token, i) => {
    const isEmpty = "{[".includes(token) && "}]".includes(tokens[i + 1]);
    const ends = "}]".includes(token) && !"{[".includes(tokens[i - 1]);
    if ("{[".includes(token)) depth++;
    if ("}]".includes(token)) depth--;
    if ("{[".includes(token)) return isEmpty ? token : token + line();
    if (ends) return line() + token;
    return token === "," ? token + line() : token === ":" ? ": " : token;
  }).join("");
}

/** What is wrong with it, in words, or its bytes. */
function bytesOf(view, text) {
  if (view === "hex") {
    const digits = text.replaceAll(/\s/g, "");
    if (!/^([0-9a-f]{2})*$/i.test(digits)) return "Hex is pairs of the digits 0 to 9 and a to f.";
    return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  }
  if (view === "json") {
    try {
      JSON.parse(text);
    } catch (error) {
      return `This is no JSON: ${error.message}`;
    }
  }
  return new TextEncoder().encode(text);
}

/** Sixteen bytes a line, in groups of two. */
function hexOf(bytes) {
  const pairs = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return (pairs.match(/.{1,32}/g) ?? []).map((line) => line.match(/.{1,4}/g).join(" ")).join("\n");
}
