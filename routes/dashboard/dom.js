/** Elements, and numbers as people read them. Whatever a node says becomes a text node: there is no markup in it. */

/**
 * An element. Attributes that are false, null or undefined are left out; `on…` is a listener.
 * @param {string} tag
 * @param {Record<string, unknown>} attributes
 * @param {...(Node | string | number | null | undefined)} children
 */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same of a drawing. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) {
    if (child !== null && child !== undefined) element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/** Writes only what is new: a cell that stays as it is costs no layout. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** 0 ms is "0 s", 1.5 s is "1.5 s", 90 s is "1 min 30 s". */
export function duration(ms) {
  const seconds = ms / 1_000;
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ${Math.floor(seconds % 3_600 / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor(seconds % 86_400 / 3_600)} h`;
}

export function bytes(count) {
  return count < 1_024 ? `${count} B` : `${(count / 1_024).toFixed(1)} KiB`;
}

const STOPS = "a, button, input, select, summary, textarea, [tabindex]";

/** Fills a box anew; whoever was at the third stop of it by keyboard is there again, and what was scrolled stays so. */
export function refill(box, ...elements) {
  const stops = () => [...box.querySelectorAll(STOPS)];
  const scrolled = () => [...box.querySelectorAll(".wide, .chart, pre")];
  const at = stops().indexOf(document.activeElement);
  const places = scrolled().map(({ scrollLeft, scrollTop }) => ({ scrollLeft, scrollTop }));
  box.replaceChildren(...elements);
  scrolled().forEach((part, i) => Object.assign(part, places[i] ?? {}));
  if (at >= 0) stops()[at]?.focus({ preventScroll: true });
}

/** What is said to those who do not see the page, too. */
export function announce(text) {
  setText(document.getElementById("announced"), text);
}

/** A table in a box of its own that scrolls sideways on a narrow screen, by keyboard too. */
export function tableOf(caption, heads, rows) {
  const table = el(
    "table",
    {},
    el("caption", {}, caption),
    el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, ...rows),
  );
  return el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": caption }, table);
}

export function rowOf(cells, attributes = {}) {
  return el("tr", attributes, ...cells.map((cell) => cell instanceof HTMLTableCellElement ? cell : el("td", {}, cell)));
}
