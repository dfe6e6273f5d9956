// A list of any length; only the visible rows are in the page. Rows have equal height, which the style sheet
// sets (--row), and are reused while their item has the same `version`.

import { element } from "./dom.js";

const MARGIN = 6;

export class VirtualList {
  constructor(box, { row, empty, nearEnd }) {
    Object.assign(this, { box, row, empty, nearEnd, items: [], shown: new Map() });
    this.inner = element("div", { role: "list", class: "rows" });
    box.append(this.inner);
    box.addEventListener("scroll", () => this.later(), { passive: true });
    new ResizeObserver(() => this.later()).observe(box);
    box.addEventListener("keydown", (event) => this.key(event));
  }

  set(items) {
    this.items = items;
    this.later();
  }

  later() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.draw();
    });
  }

  height() {
    return Number.parseFloat(getComputedStyle(this.box).getPropertyValue("--row")) || 84;
  }

  draw() {
    const { items, box, inner } = this;
    const height = this.height();
    inner.style.height = `${items.length * height}px`;
    const first = Math.max(0, Math.floor(box.scrollTop / height) - MARGIN);
    const last = Math.min(items.length, Math.ceil((box.scrollTop + box.clientHeight) / height) + MARGIN);
    const wanted = new Set();
    for (let index = first; index < last; index += 1) {
      const item = items[index];
      wanted.add(item.id);
      const known = this.shown.get(item.id);
      let node = known?.node;
      if (!node || known.version !== item.version) {
        const made = this.row(item);
        made.setAttribute("role", "listitem");
        made.dataset.id = item.id;
        made.tabIndex = 0;
        if (node) {
          const focused = node.contains(document.activeElement);
          const at = [...node.querySelectorAll("button")].indexOf(document.activeElement);
          node.replaceWith(made);
          if (focused) (made.querySelectorAll("button")[at] ?? made).focus({ preventScroll: true });
        } else {
          inner.append(made);
        }
        node = made;
        this.shown.set(item.id, { node, version: item.version });
      }
      node.style.transform = `translateY(${index * height}px)`;
      node.setAttribute("aria-posinset", index + 1);
      node.setAttribute("aria-setsize", items.length);
    }
    for (const [id, { node }] of this.shown) {
      if (!wanted.has(id)) {
        node.remove();
        this.shown.delete(id);
      }
    }
    box.querySelector(".empty")?.remove();
    if (items.length === 0) box.append(this.empty());
    if (last >= items.length - 20) this.nearEnd?.();
  }

  key(event) {
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
    const row = event.target.closest?.("[role=listitem]");
    if (!step || !row || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const at = this.items.findIndex((item) => item.id === row.dataset.id) + step;
    if (at < 0 || at >= this.items.length) return;
    const height = this.height();
    const { box } = this;
    if (at * height < box.scrollTop) box.scrollTop = at * height;
    if ((at + 1) * height > box.scrollTop + box.clientHeight) box.scrollTop = (at + 1) * height - box.clientHeight;
    this.draw();
    this.shown.get(this.items[at].id)?.node.focus({ preventScroll: true });
  }
}
