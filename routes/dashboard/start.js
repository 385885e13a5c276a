/** Which page is shown, by what stands behind the # of the address; and the token, where the node asks for one. */
import { askForToken, hasToken, keepToken } from "./api.js";
import { announce, el } from "./dom.js";
import { listPage } from "./list.js";
import { namePage } from "./name.js";
import { NOUNS } from "./nouns.js";
import { overviewPage } from "./overview.js";

const main = document.getElementById("page");
const form = document.getElementById("token");
const input = document.getElementById("token-text");
const forget = document.getElementById("forget");
/** Aborts when the page that is shown is left. */
let left = new AbortController();

function show() {
  left.abort();
  left = new AbortController();
  const { path, name, query } = placeOf(location.hash);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#/${path}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const isKnown = Object.hasOwn(NOUNS, path);
  const title = name ?? (isKnown ? NOUNS[path].title : "Overview");
  document.title = `${title} · Quorate`;
  // Whoever followed a link of the page that goes stays in the page, not at the top of the document.
  if (main.contains(document.activeElement)) main.focus();
  main.replaceChildren();
  main.className = "";
  forget.hidden = !hasToken();
  if (path !== "" && !isKnown) {
    return main.append(el("h1", {}, "No such page"), el("p", {}, el("a", { href: "#/" }, "Overview")));
  }
  const page = path === "" ? overviewPage : name === null ? listPage : namePage;
  page(main, { path, name, query, signal: left.signal });
  announce(title);
}

/** `#/locks/NAME`, `#/locks?prefix=…`; `#/` is the overview. */
function placeOf(hash) {
  const [place = "", search = ""] = hash.replace(/^#\/?/, "").split("?");
  const [path = "", name = null] = place.split("/");
  return { path, name: name === null || name === "" ? null : decoded(name), query: new URLSearchParams(search) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function needToken() {
  if (!form.hidden) return;
  document.getElementById("token-why").textContent = hasToken()
    ? "This node does not know the token of this tab."
    : "This node asks for a token.";
  keepToken(null);
  forget.hidden = true;
  left.abort();
  main.replaceChildren();
  form.hidden = false;
  input.focus();
}
askForToken(needToken);
// What stands behind the # is the page's place, which this does not leave.
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const token = input.value.trim();
  input.value = "";
  if (token === "") return;
  keepToken(token);
  form.hidden = true;
  show();
});
forget.addEventListener("click", () => {
  keepToken(null);
  needToken();
});
addEventListener("hashchange", () => form.hidden && show());
if (document.documentElement.dataset.tokens !== undefined && !hasToken()) needToken();
else show();
