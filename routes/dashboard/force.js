/** Ends every hold of a name, once somebody has said why. */
import { write } from "./api.js";
import { announce, el, setText } from "./dom.js";
import { pathOf } from "./nouns.js";

const REASON_MAX_BYTES = 256;

/** @param {() => {who: string, fence: string}[]} holders who is cut off, as of now */
export function forceButton(path, name, holders) {
  return el(
    "button",
    { type: "button", class: "danger", onclick: () => openDialog(path, name, holders()) },
    "End by force…",
  );
}

function openDialog(path, name, holders) {
  const cutOff = holders.length === 0
    ? el("p", {}, "Nobody holds it as far as this page knows; whoever does by then is cut off.")
    : el(
      "div",
      {},
      el("p", {}, "These are cut off; nothing tells them before their next renewal:"),
      el(
        "ul",
        {},
        ...holders.map(({ who, fence }) => el("li", {}, `${who}, ${path === "elections" ? "term" : "fence"} ${fence}`)),
      ),
    );
  const reason = el("input", { id: "reason", required: true, autocomplete: "off", "aria-describedby": "force-note" });
  const note = el("p", { id: "force-note", class: "note", role: "alert" });
  const cancel = el("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
  const confirm = el("button", { type: "submit", class: "danger" }, "End by force");
  const form = el(
    "form",
    {
      onsubmit: async (event) => {
        event.preventDefault();
        const text = reason.value.trim();
        if (text === "" || new TextEncoder().encode(text).length > REASON_MAX_BYTES) {
          setText(note, `A reason has 1 to ${REASON_MAX_BYTES} bytes.`);
          return reason.focus();
        }
        confirm.disabled = true;
        try {
          const headers = { "content-type": "application/json" };
          const response = await write("DELETE", pathOf(path, name), {
            headers,
            body: JSON.stringify({ reason: text }),
          });
          const { count } = await response.json();
          dialog.close();
          announce(`${count} ended by force`);
        } catch (error) {
          setText(note, error.message);
          confirm.disabled = false;
        }
      },
    },
    el("label", { for: "reason" }, "Why? The history keeps it."),
    reason,
    note,
    el("div", { class: "actions" }, cancel, confirm),
  );
  const dialog = el(
    "dialog",
    { "aria-labelledby": "force-title", onclose: () => dialog.remove() },
    el("h2", { id: "force-title" }, "End every hold of ", el("span", { class: "name" }, name), "?"),
    cutOff,
    form,
  );
  document.body.append(dialog);
  dialog.showModal();
  reason.focus();
}
