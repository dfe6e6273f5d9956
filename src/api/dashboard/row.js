// A transfer in a list: in that of the current ones, and in the history.

import { copy, element, icon, complain, button } from "./dom.js";
import { details } from "./details.js";
import { bytes, time } from "./format.js";
import { known } from "./known.js";
import { act, buttons, canPause, canResume, remove } from "./orders.js";
import { bar, briefly, linkOf, look, reason, shortly, story, tail, to } from "./transfer.js";

// What a key does with a row that has the focus.
export const KEYS = {
  Enter: (transfer) => details(transfer),
  p: (transfer) => (canPause(transfer) || canResume(transfer)) && act(transfer, canPause(transfer) ? "pause" : "resume"),
  c: (transfer) => linkOf(transfer) && copy(linkOf(transfer)),
  Delete: (transfer) => remove(transfer),
};

function mark(transfer, shown, selection) {
  if (!selection) return element("span", { class: "state", title: shown.word }, icon(shown.symbol));
  const chosen = selection.has(transfer.id);
  return element("button", { type: "button", class: "state", title: `${shown.word}. Click to select`, "aria-pressed": String(chosen),
    "aria-label": `Select ${transfer.name}`, onclick: (event) => {
      event.stopPropagation();
      selection.toggle(transfer.id, event.shiftKey);
    } }, icon(chosen ? "check" : shown.symbol));
}

// `selection`: what is selected, where rows can be; `past`: the time that the list is ordered by is shown.
export function row(transfer, { selection, past } = {}) {
  const shown = look(transfer);
  const percent = transfer.size > 0 ? `${Math.floor(((transfer.progress + transfer.in_flight) / transfer.size) * 100)}%` : "";
  const whole = [story(transfer, shown), reason(transfer) && transfer.error.hint, to(transfer) && `To ${to(transfer)}`].filter(Boolean).join("\n");
  const going = transfer.state !== "complete" && !(transfer.state === "error");
  const made = element("div", { class: `row ${shown.mood} ${selection?.has(transfer.id) ? "chosen" : ""}`,
    "aria-label": `${transfer.name}: ${shown.word}` },
    mark(transfer, shown, selection),
    element("div", { class: "what" },
      element("p", { class: "title" },
        element("span", { class: "name", title: transfer.name }, transfer.name),
        briefly(transfer) && element("span", { class: "tag to", title: to(transfer) }, briefly(transfer)),
        transfer.rule && element("span", { class: "tag" }, transfer.rule),
        transfer.priority !== 0 && element("span", { class: "tag" }, `priority ${transfer.priority}`),
        element("span", { class: "tail" }, past ? `ordered ${time(transfer.created_at)}` : tail(transfer)),
        going && element("span", { class: "percent" }, percent)),
      going && bar(transfer),
      element("p", { class: "story", title: whole },
        element("span", { class: "broad" }, story(transfer, shown)), element("span", { class: "narrow" }, past && !reason(transfer) ? `ordered ${time(transfer.created_at)} · ${bytes(transfer.size)}` : shortly(transfer, shown)))),
    element("div", { class: "buttons" }, ...buttons(transfer),
      button("", () => details(known.get(transfer.id) ?? transfer), { symbol: "more", kind: "more", label: `All about ${transfer.name}` })));
  made.addEventListener("click", (event) => {
    if (!event.target.closest("button")) details(known.get(transfer.id) ?? transfer);
  });
  made.perform = (key) => {
    const current = known.get(transfer.id) ?? transfer;
    if (key === "x") selection?.toggle(transfer.id);
    else Promise.resolve(KEYS[key]?.(current)).catch(complain);
  };
  return made;
}
