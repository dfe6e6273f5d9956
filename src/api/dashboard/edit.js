// The rules file as a text: checked by the agent as it is written, tried without sending anything, saved as it stands.

import * as api from "./api.js";
import { choose } from "./chooser.js";
import { ask, button, byId, element, say } from "./dom.js";
import { bytes, plural } from "./format.js";
import { page } from "./reader.js";

const PAUSE = 400;

// The kinds of rules to begin with; `FOLDER` is a chosen one.
const RULES = {
  "One package per file, with a link": ["watch: FOLDER", "package: file", "upload: { kind: link }"],
  "One package per folder, by e-mail": ["watch: FOLDER", "package: folder",
    "upload: { kind: email, emails: [client@example.com], name: \"{{ item }} {{ date }}\" }"],
  "What comes in a night, into a portal": ["watch: FOLDER", "schedule: { between: \"22:00-06:00\" }",
    "upload: { kind: portal, subdomain: acme, sender: post@example.com }"],
  "Download what arrives in a portal": ["portal: acme", "into: FOLDER"],
};

// A text as a value in YAML.
const quoted = (text) => (/^[A-Za-z0-9/._-]+$/.test(text) ? text : JSON.stringify(text));

// The text with a rule more, and where the new name is.
function withRule(text, lines, folder) {
  const base = text.replace(/^(rules:[ \t]*)(\[\s*\]|~|null)?([ \t]*(#.*)?)$/m, (whole, key, nothing, rest) => (nothing ? `rules:${rest}` : whole));
  const body = /^rules:/m.test(base) ? base : `${base}${base && !base.endsWith("\n") ? "\n" : ""}\nrules:\n`;
  const names = [...body.matchAll(/^([ \t]*)- +name: *([^\s#]+)/gm)];
  const indent = names.at(-1)?.[1] ?? "  ";
  const taken = new Set(names.map((match) => match[2]));
  let name = "new-rule";
  for (let number = 2; taken.has(name); number += 1) name = `new-rule-${number}`;
  const rule = [`- name: ${name}`, ...lines.map((line) => `  ${line.replace("FOLDER", quoted(folder))}`)].map((line) => `${indent}${line}\n`).join("");
  const start = body.endsWith("\n") ? body : `${body}\n`;
  const gap = names.length ? "\n" : "";
  return { text: `${start}${gap}${rule}`, at: start.length + gap.length + indent.length + "- name: ".length, length: name.length };
}

export async function edit({ line = 1, add = false } = {}) {
  const dialog = byId("edit");
  let file = await api.get("/automations/rules_file");
  let round = 0;
  let timer;
  let wrong = new Map();
  const gutter = element("pre", { class: "gutter", "aria-hidden": "true" });
  const area = element("textarea", { spellcheck: "false", autocapitalize: "off", autocomplete: "off", wrap: "off", "aria-label": "Rules file", "aria-describedby": "edit-state" });
  const state = element("p", { id: "edit-state", class: "faint", role: "status" });
  const list = element("ul", { class: "problems", "aria-label": "What is wrong" });
  const tried = element("section", { class: "tried", hidden: true, "aria-label": "Dry run" });
  const save = element("button", { type: "button", class: "main" }, "Save");
  const kinds = element("select", { "aria-label": "Add a rule" }, element("option", { value: "" }, "Add a rule…"),
    ...Object.keys(RULES).map((name) => element("option", { value: name }, name)));

  const changed = () => area.value !== file.text;

  function lines() {
    const count = area.value.split("\n").length;
    gutter.replaceChildren(...Array.from({ length: count }, (_, index) => element("span", { class: wrong.get(index + 1) ?? "" }, `${index + 1}\n`)));
    gutter.scrollTop = area.scrollTop;
  }

  // Puts the caret at a line and column, in the middle of the window.
  function show(row, column = 1, length = 0) {
    const before = area.value.split("\n").slice(0, Math.max(0, row - 1)).join("\n");
    const at = before.length + (row > 1 ? 1 : 0) + column - 1;
    area.focus();
    area.setSelectionRange(at, at + length);
    const height = Number.parseFloat(getComputedStyle(area).lineHeight);
    area.scrollTop = Math.max(0, (row - 1) * height - area.clientHeight / 3);
    gutter.scrollTop = area.scrollTop;
  }

  function problems(found, rules) {
    wrong = new Map();
    for (const { line: row, severity } of found) if (wrong.get(row) !== "error") wrong.set(row, severity);
    list.replaceChildren(...found.map((one) => element("li", { class: one.severity === "error" ? "bad" : "warn" },
      element("button", { type: "button", class: "quiet", onclick: () => show(one.line, one.column) }, one.line ? `Line ${one.line}, column ${one.column}` : "The file"),
      element("span", {}, one.message), one.help && element("small", { class: "faint" }, one.help))));
    const errors = found.filter(({ severity }) => severity === "error").length;
    state.textContent = errors ? `${plural(errors, "error")}: not saved until corrected`
      : `${plural(rules, "rule")}, no errors${found.length ? `, ${plural(found.length, "warning")}` : ""}`;
    state.className = errors ? "trouble" : "faint";
    save.disabled = errors > 0 || !changed();
    lines();
  }

  async function check() {
    round += 1;
    const mine = round;
    try {
      const answer = await api.send("POST", "/automations/check_rules", { text: area.value });
      if (mine === round) problems(answer.problems, answer.rules);
    } catch (error) {
      if (mine !== round) return;
      state.textContent = error.message;
      state.className = "trouble";
    }
  }

  function later() {
    clearTimeout(timer);
    save.disabled = true;
    state.textContent = "Checking…";
    state.className = "faint";
    tried.hidden = true;
    lines();
    timer = setTimeout(check, PAUSE);
  }

  // Keeps what the browser can undo.
  function insert(text) {
    area.focus();
    if (!document.execCommand("insertText", false, text)) {
      area.setRangeText(text, area.selectionStart, area.selectionEnd, "end");
      later();
    }
  }

  async function addRule(name) {
    const down = RULES[name][0].startsWith("portal");
    const folder = await choose({ title: down ? "Into which folder?" : "Which folder is watched?", yes: "Choose" });
    if (!folder) return;
    const made = withRule(area.value, RULES[name], folder);
    area.select();
    insert(made.text);
    area.setSelectionRange(made.at, made.at + made.length);
    show(made.text.slice(0, made.at).split("\n").length, made.at - made.text.lastIndexOf("\n", made.at - 1), made.length);
  }

  async function dryRun() {
    const answer = await api.send("POST", "/automations/dry_run", { text: area.value });
    const packed = ({ name, error, files, bytes: size, recipients }) => element("li", { class: error ? "bad" : "" },
      element("strong", {}, name ?? "A package"), " ", error ?? [plural(files?.length ?? 0, "file"), bytes(size ?? 0), recipients?.length && `to ${recipients.join(", ")}`].filter(Boolean).join(", "));
    const rules = answer.rules.map((rule) => element("section", {}, element("h4", {}, rule.rule),
      rule.offline ? element("p", { class: "trouble" }, rule.offline)
        : element("ul", {}, ...rule.packages.map(packed), element("li", { class: "faint" },
          [!rule.packages.length && "No package.", rule.waiting.length && `${plural(rule.waiting.length, "file")} would wait: ${rule.waiting[0][1]}.`,
            rule.done && `${plural(rule.done, "file")} sent already.`].filter(Boolean).join(" ")))));
    const downloads = answer.downloads.map((rule) => element("section", {}, element("h4", {}, rule.rule),
      element("p", { class: rule.offline ? "trouble" : "" }, rule.offline ?? `${plural(rule.packages.length, "package")} would be downloaded into ${rule.into}`)));
    tried.replaceChildren(element("h3", {}, "What would be sent if all files were complete now"), ...rules, ...downloads);
    tried.hidden = false;
    tried.scrollIntoView({ block: "nearest" });
  }

  async function store() {
    save.disabled = true;
    const text = area.value;
    try {
      file = await api.send("PUT", "/automations/rules_file", { text, version: file.version });
      if (area.value === text) area.value = file.text;
      say("Saved; the rules are active");
      dialog.close();
    } catch (error) {
      if (error.status === 409 && error.message.includes("meanwhile")) return await conflict();
      state.textContent = [error.message, error.hint].filter(Boolean).join(". ");
      state.className = "trouble";
      if (error.status === 400) await check();
    }
  }

  // Somebody else has saved it: nothing of either is lost unasked.
  async function conflict() {
    const newer = await api.get("/automations/rules_file");
    const over = await ask({ title: "The rules file was changed meanwhile", yes: "Replace it with mine", no: "Keep editing", bad: true,
      text: "Somebody has saved it since you opened it. Your text is still here: copy what you need, or replace the newer file with it." });
    if (!over) {
      state.textContent = "Not saved: the file was changed meanwhile. Close this and open it again for the newer text.";
      state.className = "trouble";
      save.disabled = false;
      return;
    }
    file = { ...newer, text: file.text };
    await store();
  }

  async function close() {
    if (changed() && !(await ask({ title: "Close without saving?", text: "Your changes of the rules are lost.", yes: "Close", no: "Keep editing", bad: true }))) return;
    dialog.close();
  }

  area.addEventListener("input", later);
  area.addEventListener("scroll", () => { gutter.scrollTop = area.scrollTop; });
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) {
      // The next line begins where this one does; after a dash, where its text does.
      const row = area.value.slice(0, area.selectionStart).split("\n").at(-1);
      event.preventDefault();
      insert(`\n${row.match(/^\s*(- +)?/)[0].replace("-", " ")}`);
    }
  });
  dialog.onkeydown = (event) => {
    if (event.key === "s" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      if (!save.disabled) save.click();
    }
  };
  kinds.addEventListener("change", async () => {
    const name = kinds.value;
    kinds.value = "";
    if (name) await addRule(name);
  });
  save.addEventListener("click", store);
  dialog.oncancel = (event) => {
    event.preventDefault();
    close();
  };
  dialog.replaceChildren(
    element("div", { class: "head" }, element("div", {}, element("h2", { id: "edit-title" }, "Rules"), element("p", { class: "faint path" }, file.path)),
      button("", close, { symbol: "close", label: "Close the editor" })),
    element("div", { class: "tools" }, kinds,
      button("Insert a folder…", async () => {
        const folder = await choose({ title: "Choose a folder", yes: "Insert" });
        if (folder) insert(quoted(folder));
      }),
      button("Dry run", dryRun, { label: "Dry run: what would be sent, without sending it" }),
      page("rules.md", "All keys")),
    element("div", { class: "editor" }, gutter, area), list, tried,
    element("div", { class: "actions end" }, state, button("Cancel", close), save));
  area.value = file.text;
  lines();
  dialog.showModal();
  show(line);
  save.disabled = true;
  await check();
  if (add) await addRule(Object.keys(RULES)[0]);
}
