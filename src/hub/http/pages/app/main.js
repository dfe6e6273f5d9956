// The app: who is signed in, where in it one is, and the frame around every view.
"use strict";

import { call, chooseTeam, resume, session, signIn, signOut } from "./api.js";
import { account } from "./account.js";
import { audit } from "./audit.js";
import { attempt, field, h, icon, nothing, select } from "./dom.js";
import { hooks } from "./hooks.js";
import { keys } from "./keys.js";
import { onePackage } from "./package.js";
import { packages } from "./packages.js";
import { people } from "./people.js";
import { onePortal, portals } from "./portals.js";
import { send } from "./send.js";

const root = document.getElementById("app");
const NAME = document.title;

// Path, view, the entry of the navigation that it belongs to, and who sees it.
const VIEWS = [
  [/^\/app\/packages$/, packages("sent"), "/app/packages"],
  [/^\/app\/packages\/([0-9A-Za-z]+)$/, onePackage, "/app/packages"],
  [/^\/app\/inbox$/, packages("received"), "/app/inbox"],
  [/^\/app\/inbox\/([0-9A-Za-z]+)$/, onePackage, "/app/inbox"],
  [/^\/app\/send$/, send, "/app/send"],
  [/^\/app\/portals$/, portals, "/app/portals"],
  [/^\/app\/portals\/([0-9A-Za-z]+)$/, onePortal, "/app/portals"],
  [/^\/app\/people$/, people, "/app/people"],
  [/^\/app\/keys$/, keys, "/app/keys"],
  [/^\/app\/webhooks$/, hooks, "/app/webhooks"],
  [/^\/app\/audit$/, audit, "/app/audit"],
  [/^\/app\/account$/, account, "/app/account"],
];

const NAVIGATION = [
  ["/app/send", "Send", "send", { class: "prime" }],
  ["/app/packages", "Sent", "box"],
  ["/app/inbox", "Received", "inbox"],
  ["/app/portals", "Portals", "door"],
  ["/app/people", "People", "people"],
  ["/app/keys", "Keys", "key", { admin: true }],
  ["/app/webhooks", "Webhooks", "hook", { admin: true }],
  ["/app/audit", "Audit", "list", { admin: true }],
  ["/app/account", "Account", "user"],
];

/** Goes to a view. */
export const go = (path, replace = false) => {
  history[replace ? "replaceState" : "pushState"]({}, "", path);
  return show();
};

let shown = 0;
let leave = null;

/** Shows the view of the address. */
const show = async () => {
  if (leave) leave();
  leave = null;
  if (!session.user) return showSignIn();
  if (!session.team) return frame("", h("h1", {}, "No team"), nothing("You belong to no team.", "Ask whoever runs this hub to add you to one."));
  const path = location.pathname.replace(/\/$/, "");
  const found = VIEWS.map(([pattern, view, entry]) => ({ match: pattern.exec(path), view, entry })).find(({ match }) => match);
  if (!found) return go("/app/packages", true);
  shown += 1;
  const number = shown;
  const place = frame(found.entry);
  const slow = setTimeout(() => place.replaceChildren(h("p", { class: "loading", role: "status" }, "Loading…")), 300);
  let content;
  try {
    content = await found.view({ id: found.match[1], query: new URLSearchParams(location.search), go, reload: show, onLeave: (work) => (number === shown ? (leave = work) : work()) });
  } catch (error) {
    if (!session.user) return undefined;
    const again = h("button", { type: "button", onclick: show }, "Try again");
    const missing = error.status === 404;
    content = [h("h1", { tabindex: -1 }, missing ? "Not found" : "That did not work"), nothing(error.message, "", missing ? null : h("div", { class: "actions" }, again))];
  } finally {
    clearTimeout(slow);
  }
  // Another view may have been opened meanwhile.
  if (number !== shown) return undefined;
  place.replaceChildren(...[content].flat());
  const heading = place.querySelector("h1");
  document.title = `${heading ? heading.textContent : "Hub"} · ${NAME}`;
  if (heading && (!document.activeElement || document.activeElement === document.body)) {
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  }
  return undefined;
};

/** The frame; returns the place for the view. */
const frame = (entry, ...content) => {
  const item = ([href, text, name, { admin, ...more } = {}]) => (admin && !session.isAdmin) || h("li", {}, h("a", { href, "aria-current": href === entry ? "page" : null, ...more }, icon(name), h("span", {}, text)));
  const entries = NAVIGATION.map(item).filter((one) => one !== true);
  const place = h("main", { id: "view" }, content);
  const teams = session.teams.length > 1
    ? h("div", { class: "team" }, h("label", { class: "visually-hidden", for: "team" }, "Team"),
      select(session.teams.map(({ id, name }) => [id, name]), session.team && session.team.id, { id: "team", onchange: (event) => { chooseTeam(event.target.value); go("/app/packages"); } }))
    : h("p", { class: "team" }, session.team ? session.team.name : "");
  root.replaceChildren(
    h("a", { class: "skip", href: "#view" }, "Skip to the content"),
    h("div", { class: "shell" },
      h("header", { class: "side" },
        h("div", { class: "brand" }, h("img", { src: "/assets/icon.svg", alt: "" }), teams),
        h("nav", { "aria-label": "Main" }, h("ul", {}, entries)),
        h("div", { class: "who" }, h("p", { title: session.user.email }, session.user.name || session.user.email),
          h("button", { type: "button", class: "bare", id: "sign-out", onclick: leaveApp }, icon("out"), h("span", {}, "Sign out")))),
      place));
  return place;
};

const leaveApp = (event) => attempt(async () => {
  await signOut();
  history.replaceState({}, "", "/app");
  show();
}, event.currentTarget);

const showSignIn = (told = "") => {
  document.title = `Sign in · ${NAME}`;
  const email = h("input", { type: "email", name: "email", autocomplete: "username", required: true });
  const password = h("input", { type: "password", name: "password", autocomplete: "current-password", required: true });
  const problem = h("p", { class: "problem", role: "alert" }, told);
  const submit = h("button", { type: "submit" }, "Sign in");
  const form = h("form", { id: "sign-in" }, field("E-mail address", email), field("Password", password), problem, h("div", { class: "actions" }, submit));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    problem.textContent = "";
    try {
      await signIn(email.value, password.value);
      await show();
    } catch (error) {
      problem.textContent = error.message;
      password.value = "";
      password.focus();
    } finally {
      submit.disabled = false;
    }
  });
  root.replaceChildren(h("main", { class: "small" }, h("img", { class: "mark", src: "/assets/icon.svg", alt: "" }), h("h1", {}, "Sign in"),
    h("p", { class: "facts" }, "For senders and administrators. To download, open the link you were sent."), form));
  email.focus();
};

/** Whoever was invited chooses a password. */
const showWelcome = () => {
  document.title = `Welcome · ${NAME}`;
  const token = location.hash.slice(1);
  const password = h("input", { type: "password", autocomplete: "new-password", minlength: 8, required: true, id: "chosen-password" });
  const again = h("input", { type: "password", autocomplete: "new-password", required: true, id: "chosen-again" });
  const problem = h("p", { class: "problem", role: "alert" });
  const submit = h("button", { type: "submit" }, "Go on");
  const form = h("form", { id: "welcome" }, field("Password", password, { hint: "At least 8 characters." }), field("Password again", again), problem, h("div", { class: "actions" }, submit));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.textContent = password.value === again.value ? "" : "The two passwords differ.";
    if (problem.textContent) return;
    submit.disabled = true;
    try {
      const { email } = await call("POST", "/v1/invitations", { token, new_password: password.value });
      history.replaceState({}, "", "/app/packages");
      await signIn(email, password.value);
      await show();
    } catch (error) {
      problem.textContent = error.message;
      submit.disabled = false;
    }
  });
  root.replaceChildren(h("main", { class: "small" }, h("img", { class: "mark", src: "/assets/icon.svg", alt: "" }), h("h1", {}, "Welcome"), h("p", { class: "facts" }, "Choose your password, then you are signed in."), form));
  password.focus();
};

addEventListener("signed-out", () => {
  if (!session.user) return;
  session.user = null;
  for (const box of document.querySelectorAll("dialog")) box.close();
  showSignIn("You have been signed out. Sign in again to go on.");
});
addEventListener("popstate", show);
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='/app']");
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || link.target) return;
  event.preventDefault();
  document.activeElement.blur();
  go(link.getAttribute("href"));
  scrollTo(0, 0);
});
// As in many programs: the slash begins to search.
document.addEventListener("keydown", (event) => {
  const search = document.querySelector("input[type=search]");
  const typing = event.target.closest("input, textarea, select, dialog");
  if (event.key === "/" && search && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    search.focus();
  }
});

try {
  if (location.pathname === "/app/welcome") showWelcome();
  else {
    await resume();
    await show();
  }
} catch (error) {
  root.replaceChildren(h("main", { class: "small" }, h("h1", {}, "The hub does not answer"), h("p", {}, error.message),
    h("div", { class: "actions" }, h("button", { type: "button", onclick: () => location.reload() }, "Try again"))));
}
