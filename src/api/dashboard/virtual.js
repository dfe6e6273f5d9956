// A list of any length; only the visible rows are in the page. Rows have equal height, which the style sheet
// sets (--row), and are reused while their item has the same version.

import { element } from "./dom.js";

const MARGIN = 6;

export class VirtualList {
  constructor(box, { row, empty, nearEnd, version = (item) => item.version }) {
    Object.assign(this, { box, row, empty, nearEnd, version, items: [], shown: new Map(), last: undefined });
    this.inner = element("div", { role: "list", class: "rows" });
    box.append(this.inner);
    box.addEventListener("scroll", () => this.later(), { passive: true });
    new ResizeObserver(() => this.later()).observe(box);
    box.addEventListener("focusin", (event) => {
      this.last = event.target.closest("[role=listitem]")?.dataset.id ?? this.last;
    });
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
      const version = this.version(item);
      if (!node || known.version !== version) {
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
        this.shown.set(item.id, { node, version });
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

  // The row that has the focus, or else the one that had it last, or the first one; it has the focus then.
  here() {
    const focused = document.activeElement?.closest?.("[role=listitem]");
    if (focused && this.inner.contains(focused)) return focused;
    return this.focus(Math.max(0, this.items.findIndex((item) => item.id === this.last)));
  }

  // Moves the focus by so many rows; to a row if none has it.
  move(step) {
    const focused = document.activeElement?.closest?.("[role=listitem]");
    if (!focused || !this.inner.contains(focused)) return this.here();
    return this.focus(this.items.findIndex((item) => item.id === focused.dataset.id) + step);
  }

  focus(at) {
    if (at < 0 || at >= this.items.length) return undefined;
    const height = this.height();
    const { box } = this;
    if (at * height < box.scrollTop) box.scrollTop = at * height;
    if ((at + 1) * height > box.scrollTop + box.clientHeight) box.scrollTop = (at + 1) * height - box.clientHeight;
    this.draw();
    const node = this.shown.get(this.items[at].id)?.node;
    node?.focus({ preventScroll: true });
    return node;
  }
}
