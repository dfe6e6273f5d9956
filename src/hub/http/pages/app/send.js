// Sending files and folders, to people or as a link. What is being sent goes on while other views are looked at, and after the page was
// closed it resumes when the same files are chosen again.
"use strict";

import { Memory, Over, Refused, Sender, walk } from "../sender.js";
import { call, ofTeam, session } from "./api.js";
import { attempt, button, copy, field, h, icon, note, select } from "./dom.js";
import { count, duration, size } from "./format.js";

const MOST_SHOWN = 200;
const DOOR = { base: "/app/api", headers: { "X-Masv-App": "1" } };
const DAYS = [["0", "as usual on this hub"], ["1", "after a day"], ["3", "after 3 days"], ["7", "after a week"], ["14", "after 2 weeks"], ["30", "after 30 days"], ["90", "after 90 days"], ["-1", "never"]];

// What is being sent, and the view of it, for when one comes back to it.
let running = null;

/** The addresses in a text, and what in it is none. */
const addresses = (text) => {
  const words = text.split(/[\s,;<>]+/).filter(Boolean);
  const good = (word) => /^[^@]+@[^@]+$/.test(word);
  return { good: [...new Set(words.filter(good))], bad: words.filter((word) => !good(word)) };
};

/** Shows how far it is in the navigation and the title. */
const tell = (percent) => {
  const label = document.querySelector("nav a.prime span");
  if (label) label.textContent = percent === null ? "Send" : `Sending ${percent}%`;
};

const build = (page, memory) => {
  const chosen = new Map();
  const rows = new Map();
  const team = session.team.id;
  let state = "choosing"; // choosing, sending, paused
  let earlier = null; // an upload interrupted before the page was opened: {pack, files}
  let speed = [];

  const to = (value, text, hint) => h("label", { class: "way" }, h("input", { type: "radio", name: "to", value, checked: value === "people", onchange: () => show() }), h("span", {}, h("strong", {}, text), h("small", {}, hint)));
  const people = h("textarea", { id: "people", rows: 2, autocomplete: "off", spellcheck: "false", inputmode: "email" });
  const peopleField = field("Recipients", people, { hint: "E-mail addresses, with commas or on lines of their own. Each gets a link of their own." });
  const name = h("input", { type: "text", id: "name", maxlength: 200, placeholder: "the first file or folder" });
  const message = h("textarea", { id: "message", rows: 3 });
  const password = h("input", { type: "text", id: "password", autocomplete: "off", spellcheck: "false" });
  const days = select(DAYS, "0", { id: "days" });
  const times = h("input", { type: "number", id: "times", min: 1, step: 1, placeholder: "any number" });
  const about = h("fieldset", { id: "about" }, h("legend", { class: "visually-hidden" }, "About the package"),
    h("div", { class: "ways", role: "radiogroup", "aria-label": "How it is sent" }, to("people", "To people", "by e-mail"), to("link", "As a link", "to share yourself")),
    peopleField, field("Name of the package", name, { optional: true }), field("Message", message, { optional: true }),
    h("details", { class: "more" }, h("summary", {}, "Password, expiry, limit"),
      field("Password", password, { optional: true, hint: "Tell it to the recipients by another way than e-mail." }),
      h("div", { class: "pair" }, field("Expires", days), field("Downloads for each link", times, { optional: true }))));

  const files = h("input", { type: "file", id: "files", multiple: true });
  const folder = h("input", { type: "file", id: "folder", webkitdirectory: true });
  const drop = h("div", { id: "drop", class: "drop" }, h("p", {}, h("strong", {}, "Drop files or folders here")),
    h("div", { class: "actions" }, h("label", { class: "pick" }, h("span", { class: "button quiet" }, "Choose files"), files), h("label", { class: "pick" }, h("span", { class: "button quiet" }, "Choose a folder"), folder)));
  const list = h("ul", { id: "list", class: "files", "aria-label": "Chosen files" });
  const sum = h("p", { class: "facts", id: "chosen", "aria-live": "polite" });
  const bar = h("progress", { id: "progress", max: 1, hidden: true, "aria-label": "Sent" });
  const status = h("p", { class: "status", id: "status" });
  const problem = h("p", { class: "problem", id: "problem", role: "alert", tabindex: -1 });
  const submit = h("button", { type: "submit", id: "send" }, "Send");
  const pause = button("Pause", null, () => (state === "paused" ? start() : sender.pause()), { id: "pause", hidden: true });
  const clear = button("Clear", null, () => (state === "paused" || earlier ? anew() : empty()), { id: "clear" });
  const notice = h("div", { class: "notice", id: "earlier", role: "status", hidden: true });
  const done = h("div", { id: "sent", tabindex: -1, hidden: true });
  const form = h("form", { id: "sending" }, notice, h("div", { class: "two sending" }, h("section", { class: "card", "aria-label": "Files" }, drop, list, sum), h("section", { class: "card", "aria-label": "Settings" }, about)),
    h("div", { class: "card foot" }, bar, status, problem, h("div", { class: "actions" }, submit, pause, clear)));

  const withContent = () => [...chosen.values()].filter(({ file }) => file);
  const total = () => withContent().reduce((bytes, { file }) => bytes + file.size, 0);
  const way = () => form.querySelector("[name=to]:checked").value;

  const row = (full, { file }) => {
    const remove = h("button", { type: "button", class: "bare", "aria-label": `Remove ${full}`, disabled: state !== "choosing", onclick: () => { chosen.delete(full); show(); files.focus(); } }, icon("close"));
    return h("li", {}, icon(file ? "file" : "folder"), h("span", { class: "name" }, full), h("span", { class: "size" }, file ? size(file.size) : "empty folder"), remove);
  };

  const show = () => {
    rows.clear();
    const lines = [];
    for (const [full, item] of chosen) {
      if (lines.length === MOST_SHOWN) break;
      const line = row(full, item);
      rows.set(full, line);
      lines.push(line);
    }
    if (chosen.size > MOST_SHOWN) lines.push(h("li", { class: "more" }, `and ${chosen.size - MOST_SHOWN} more`));
    list.replaceChildren(...lines);
    const some = withContent().length;
    sum.textContent = chosen.size ? `${count(some, "file")}, ${size(total())}` : "";
    const choosing = state === "choosing";
    about.disabled = !choosing || earlier !== null;
    for (const input of [files, folder]) input.disabled = !choosing;
    drop.hidden = !choosing;
    peopleField.hidden = way() !== "people";
    submit.hidden = !choosing;
    submit.textContent = earlier ? "Resume" : "Send";
    submit.disabled = some === 0;
    pause.hidden = choosing;
    pause.querySelector("span").textContent = state === "paused" ? "Resume" : "Pause";
    clear.hidden = state === "sending";
    clear.querySelector("span").textContent = state === "paused" ? "Cancel and delete" : earlier ? "Start over" : "Clear";
    clear.disabled = choosing && chosen.size === 0 && !earlier;
  };

  const take = (file, path) => {
    if (state === "choosing") chosen.set(path ? `${path}/${file.name}` : file.name, { file, path });
  };
  const takeFolder = (own, path, full) => {
    if (state === "choosing") chosen.set(full, { folder: own, path });
  };
  const takeAll = (input) => {
    for (const file of input.files) take(file, (file.webkitRelativePath || "").split("/").slice(0, -1).join("/"));
    // So that the same file can be chosen again after it was removed.
    input.value = "";
    show();
  };

  const progress = (sent, full, ofFile) => {
    const all = total();
    const percent = all ? Math.floor((100 * sent) / all) : 100;
    bar.value = all ? sent / all : 1;
    const line = rows.get(full);
    const { file } = chosen.get(full);
    if (line) line.style.backgroundSize = `${file.size ? (100 * ofFile) / file.size : 100}% 100%`;
    const now = performance.now();
    speed.push([now, sent]);
    while (speed.length > 2 && now - speed[0][0] > 10000) speed.shift();
    const [since, before] = speed[0];
    const rate = now - since > 1000 ? (1000 * (sent - before)) / (now - since) : 0;
    if (state !== "sending") return;
    status.textContent = `${size(sent)} of ${size(all)} sent${rate > 0 ? ` · ${size(rate)}/s · ${duration((all - sent) / rate)} left` : ""}`;
    tell(percent);
  };
  const say = (text) => {
    if (state === "sending") status.textContent = text;
  };
  const sender = new Sender(memory, {
    preparing: (ready, all) => ready < all && say(`Preparing: ${ready} of ${count(all, "file")}`),
    progress,
    retry: () => say("The connection was interrupted. Trying again…"),
    rest: (reason, seconds) => say(`${reason.replace(/[.!]$/, "")}. Trying again in ${duration(seconds)}.`),
  }, { ...DOOR, packages: ofTeam("/packages") });

  /** What the package is made with; refuses what is missing. */
  const asked = () => {
    const { good, bad } = addresses(people.value);
    if (way() === "people" && bad.length) throw new Error(`“${bad[0]}” is not an e-mail address.`);
    if (way() === "people" && !good.length) throw new Error("Say to whom it goes, or send it as a link.");
    const [first] = chosen.keys();
    const body = { name: name.value.trim() || first.split("/")[0], description: message.value, recipients: way() === "people" ? good : [] };
    if (password.value) body.password = password.value;
    if (days.value !== "0") body.custom_expiry_days = Number(days.value);
    if (times.value) body.access_limit = Number(times.value);
    return body;
  };

  const missing = () => (earlier ? earlier.files.filter((file) => !file.done && !chosen.has(file.path)) : []);

  const start = async () => {
    const lost = missing();
    if (lost.length) {
      problem.textContent = `Choose these files again, or start over: ${lost.slice(0, 3).map(({ path }) => path).join(", ")}${lost.length > 3 ? ", …" : ""}`;
      return;
    }
    problem.textContent = "";
    let body;
    try {
      body = earlier ? earlier.pack : asked();
    } catch (error) {
      problem.textContent = error.message;
      people.focus();
      return;
    }
    const sending = withContent().length + (earlier ? earlier.files.filter((file) => file.done && !file.folder && !chosen.has(file.path)).length : 0);
    state = "sending";
    speed = [];
    bar.hidden = false;
    done.hidden = true;
    running = view;
    show();
    try {
      const id = await sender.run(chosen.values(), body);
      chosen.clear();
      earlier = null;
      state = "choosing";
      await finished(id, body, sending);
    } catch (error) {
      await failed(error);
    }
    if (state === "choosing") running = null;
    tell(null);
    show();
  };

  const finished = async (id, body, sending) => {
    bar.hidden = true;
    status.textContent = "";
    notice.hidden = true;
    form.reset();
    const to = body.recipients || [];
    const parts = [h("h2", {}, "Sent"), h("p", {}, `${count(sending, "file")} ${sending === 1 ? "is" : "are"} on the hub. `, to.length ? `A mail with a link goes to ${to.join(", ")}.` : "")];
    const link = to.length ? null : await attempt(() => call("POST", `/v1/packages/${id}/links`, {}));
    const actions = [];
    if (link) {
      const address = h("input", { type: "text", readonly: true, value: link.url, id: "link", onfocus: (event) => event.target.select() });
      parts.push(field("The link to share", address));
      actions.push(h("button", { type: "button", onclick: () => copy(link.url, "The link is copied.") }, icon("copy"), h("span", {}, "Copy the link")));
    }
    actions.push(h("a", { class: "button quiet", href: `/app/packages/${id}` }, "Open the package"));
    done.replaceChildren(h("section", { class: "card good-news" }, icon("check"), h("div", {}, parts, h("div", { class: "actions" }, actions))));
    done.hidden = false;
    if (done.isConnected) done.focus();
    else note(`Sent: ${body.name}.`);
  };

  const failed = async (error) => {
    if (error.name === "AbortError") {
      state = "paused";
      status.textContent = "Paused. You may close this page: choose the same files here again to resume.";
      return;
    }
    state = "choosing";
    bar.hidden = true;
    status.textContent = "";
    problem.textContent = error.message;
    // What the hub refuses would be refused again: nothing is kept there, and everything can be changed.
    if (error instanceof Refused && !(error instanceof Over)) await sender.discard();
    await recall();
    if (problem.isConnected) problem.focus();
    else note(error.message, "bad");
  };

  /** What was begun before. */
  const recall = async () => {
    const pack = await memory.get("package");
    earlier = pack ? { pack, files: await memory.all("file") } : null;
    notice.hidden = !earlier;
    if (!earlier) return;
    name.value = pack.name;
    const begun = earlier.files.filter((file) => !file.folder);
    const whole = begun.filter((file) => file.done).length;
    const partly = begun.length - whole;
    notice.replaceChildren(h("h2", {}, "An upload was interrupted"), h("p", {}, `“${pack.name}”: ${count(whole, "file")} sent${partly ? `, ${count(partly, "file")} partly or not at all` : ""}. Choose or drop the same files again to resume where it stopped.`));
  };

  const empty = () => {
    chosen.clear();
    problem.textContent = "";
    show();
  };
  const anew = async () => {
    await sender.discard();
    earlier = null;
    chosen.clear();
    state = "choosing";
    running = null;
    notice.hidden = true;
    bar.hidden = true;
    status.textContent = "";
    problem.textContent = "";
    show();
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    start();
  });
  files.addEventListener("change", () => takeAll(files));
  folder.addEventListener("change", () => takeAll(folder));
  const dropped = async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    // The entries are gone after the first await: collect them all first.
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
    for (const entry of entries) await walk(entry, "", { file: take, folder: takeFolder });
    show();
  };
  const over = (event) => {
    event.preventDefault();
    drop.classList.add("over");
  };
  const left = (event) => {
    if (!event.relatedTarget) drop.classList.remove("over");
  };
  const listen = [["dragover", over], ["dragleave", left], ["drop", dropped]];
  const view = {
    team,
    content: [h("div", { class: "head" }, h("h1", {}, "Send files")), done, form],
    // The whole page accepts drops as long as it is shown: a file that misses the box must not replace the page.
    enter: () => listen.forEach(([kind, listener]) => document.addEventListener(kind, listener)),
    leave: () => listen.forEach(([kind, listener]) => document.removeEventListener(kind, listener)),
    get sending() {
      return state === "sending";
    },
    ready: async () => {
      await recall();
      show();
    },
  };
  return view;
};

export const send = async (page) => {
  let view = running;
  if (!view) {
    view = build(page, await Memory.open(`app ${session.team.id}`));
    await view.ready();
  }
  view.enter();
  page.onLeave(view.leave);
  return view.content;
};

addEventListener("beforeunload", (event) => {
  if (running && running.sending) event.preventDefault();
});
