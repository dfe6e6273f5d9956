// Shows the documentation, which is written in Markdown: as much of that as its pages use. Text enters the page only as text.

import { byId, button, element } from "./dom.js";

const slug = (text) => text.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-");

// Code, bold, italic, links and pictures within a text; of pictures only what they show.
function inline(text, page) {
  const parts = [];
  const mark = /(`+)(.+?)\1|!\[([^\]]*)\]\([^)]*\)|\[((?:`[^`]*`|[^\]])*)\]\(([^)\s]+)[^)]*\)|\*\*(.+?)\*\*|\*([^*\s][^*]*?)\*|<(https?:[^>]+)>/;
  let rest = text;
  for (let found = mark.exec(rest); found; found = mark.exec(rest)) {
    const [whole, , code, picture, label, target, strong, slanted, address] = found;
    parts.push(rest.slice(0, found.index));
    if (code !== undefined) parts.push(element("code", {}, code));
    else if (picture !== undefined) parts.push(element("em", {}, picture));
    else if (label !== undefined) parts.push(anchor(inline(label, page), target, page));
    else if (strong !== undefined) parts.push(element("strong", {}, ...inline(strong, page)));
    else if (slanted !== undefined) parts.push(element("em", {}, ...inline(slanted, page)));
    else parts.push(element("a", { href: address, target: "_blank", rel: "noreferrer" }, address));
    rest = rest.slice(found.index + whole.length);
  }
  return [...parts, rest].filter((part) => part !== "");
}

// A link to another page, or to a place in one, stays in the reader; what the agent does not have is only named.
function anchor(label, target, page) {
  if (/^https?:/.test(target)) return element("a", { href: target, target: "_blank", rel: "noreferrer" }, ...label);
  const [file, place] = target.split("#");
  if (file && !/^[a-z-]+\.md$/i.test(file)) return element("span", { title: target }, ...label);
  const name = file || page;
  return element("a", { href: `dashboard/docs/${name}`, onclick: (event) => {
    event.preventDefault();
    read(name, place);
  } }, ...label);
}

const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));

// The blocks of a page. Lines of a paragraph and of an item belong together.
function blocks(text, page) {
  const lines = text.replace(/<!--[\s\S]*?-->/g, "").split("\n");
  const made = [];
  let at = 0;
  const until = (ends) => {
    const taken = [];
    for (; at < lines.length && !ends(lines[at]); at += 1) taken.push(lines[at]);
    return taken;
  };
  const opens = (line) => !line.trim() || /^(#{1,6} |\s*```|\s*([*-]|\d+\.) |\||> )/.test(line);
  while (at < lines.length) {
    const line = lines[at];
    const heading = /^(#{1,6}) (.*)$/.exec(line);
    const fence = /^(\s*)```/.exec(line);
    const bullet = /^(\s*)([*-]|\d+\.) /.exec(line);
    if (heading) {
      at += 1;
      made.push(element(`h${Math.min(6, heading[1].length + 1)}`, { id: `doc-${slug(heading[2])}` }, ...inline(heading[2], page)));
    } else if (fence) {
      at += 1;
      const code = until((next) => next.trim().startsWith("```")).map((one) => one.slice(fence[1].length));
      at += 1;
      made.push(element("pre", { tabindex: 0 }, element("code", {}, code.join("\n"))));
    } else if (line.startsWith("|")) {
      const [head, , ...rows] = until((next) => !next.startsWith("|")).map(cells);
      made.push(element("div", { class: "scroll", tabindex: 0 }, element("table", {},
        element("thead", {}, element("tr", {}, ...head.map((cell) => element("th", { scope: "col" }, ...inline(cell, page))))),
        element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, ...inline(cell, page)))))))));
    } else if (bullet) {
      const items = [];
      for (let next = bullet; next && next[1].length === bullet[1].length; next = /^(\s*)([*-]|\d+\.) /.exec(lines[at] ?? "")) {
        const first = lines[at].slice(next[0].length);
        at += 1;
        const inner = until((one) => (/^\S/.test(one) || !one.trim()) || (/^(\s*)([*-]|\d+\.) /.exec(one)?.[1].length ?? 99) <= bullet[1].length);
        items.push(element("li", {}, ...blocks([first, ...inner.map((one) => one.replace(/^ {1,4}/, ""))].join("\n"), page)));
        if (!lines[at]?.trim() && /^(\s*)([*-]|\d+\.) /.exec(lines[at + 1] ?? "")?.[1].length === bullet[1].length) at += 1;
      }
      made.push(element(/\d/.test(bullet[2]) ? "ol" : "ul", {}, ...items));
    } else if (line.startsWith("> ")) {
      made.push(element("blockquote", {}, ...blocks(until((next) => !next.startsWith(">")).map((one) => one.replace(/^> ?/, "")).join("\n"), page)));
    } else if (!line.trim()) {
      at += 1;
    } else {
      const first = lines[at];
      at += 1;
      made.push(element("p", {}, ...inline([first, ...until(opens)].map((one) => one.trim()).join(" "), page)));
    }
  }
  return made;
}

// Opens a page of the documentation, at a heading if one is named.
export async function read(file, place) {
  const dialog = byId("reader");
  const answer = await fetch(`dashboard/docs/${file}`);
  if (!answer.ok) throw new Error(`The documentation has no page ${file}`);
  const text = element("article", { tabindex: 0, "aria-labelledby": "reader-title" }, ...blocks(await answer.text(), file));
  const title = text.querySelector("h2");
  if (title) title.id = "reader-title";
  dialog.replaceChildren(element("div", { class: "head" }, button("All pages", () => read("README.md")),
    button("", () => dialog.close(), { symbol: "close", label: "Close the documentation" })), text);
  if (!dialog.open) dialog.showModal();
  text.scrollTop = 0;
  if (place) text.querySelector(`#${CSS.escape(`doc-${place}`)}`)?.scrollIntoView();
}

// A link to a page, which also opens in a tab of its own.
export const page = (file, title) => element("a", { href: `dashboard/docs/${file}`, onclick: (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  read(file).catch(() => window.open(`dashboard/docs/${file}`));
} }, title);
