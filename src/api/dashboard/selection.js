// Which rows are selected, and the bar with what can be done with all of them.

import { byId, button, copyText, element } from "./dom.js";
import { plural } from "./format.js";
import { known } from "./known.js";
import { actAll, canPause, canResume, removeAll } from "./orders.js";
import { linkOf } from "./transfer.js";

export class Selection {
  constructor(changed, order) {
    Object.assign(this, { ids: new Set(), changed, order, last: undefined });
  }

  has(id) {
    return this.ids.has(id);
  }

  get size() {
    return this.ids.size;
  }

  // With `through`, everything from the row selected before to this one.
  toggle(id, through = false) {
    const order = this.order();
    const [from, to] = [order.indexOf(this.last), order.indexOf(id)].sort((one, other) => one - other);
    if (through && from >= 0) order.slice(from, to + 1).forEach((one) => this.ids.add(one));
    else if (!this.ids.delete(id)) this.ids.add(id);
    this.last = id;
    this.changed();
  }

  all() {
    this.order().forEach((id) => this.ids.add(id));
    this.changed();
  }

  clear() {
    this.ids.clear();
    this.changed();
  }

  // Draws the bar; what is not there any more is not selected any more.
  draw() {
    const there = [...this.ids].map((id) => known.get(id)).filter(Boolean);
    this.ids = new Set(there.map((transfer) => transfer.id));
    const bar = byId("selected");
    bar.hidden = there.length === 0;
    document.body.classList.toggle("selecting", there.length > 0);
    const shown = there.map((transfer) => transfer.id + transfer.state).join();
    if (bar.hidden || bar.dataset.shown === shown) return;
    bar.dataset.shown = shown;
    const [running, stopped, idle] = [there.filter(canPause), there.filter(canResume), there.filter(({ state }) => state === "idle")];
    const links = there.map(linkOf).filter(Boolean);
    bar.replaceChildren(...[
      element("strong", { role: "status" }, `${plural(there.length, "transfer")} selected`),
      running.length > 0 && button("Pause", () => actAll(running, "pause", "paused")),
      stopped.length > 0 && button("Resume", () => actAll(stopped, "resume", "resumed")),
      idle.length > 0 && button("Finalize", () => actAll(idle, "finalize", "finalized")),
      links.length > 0 && button(`Copy ${plural(links.length, "link")}`, () => copyText(links.join("\n"), "Links copied")),
      button("Remove", () => removeAll(there)),
      button("Select all", () => this.all(), { kind: "quiet" }),
      button("Clear", () => this.clear(), { kind: "quiet" }),
    ].filter(Boolean));
  }
}
