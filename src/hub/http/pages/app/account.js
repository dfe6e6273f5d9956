// One's own account.
"use strict";

import { call, session } from "./api.js";
import { field, h, note } from "./dom.js";

const ROLES = { sender: "sender", admin: "administrator", owner: "owner" };

const password = () => {
  const now = h("input", { type: "password", autocomplete: "current-password", required: true, id: "password-now" });
  const next = h("input", { type: "password", autocomplete: "new-password", required: true, minlength: 8, id: "password-new" });
  const again = h("input", { type: "password", autocomplete: "new-password", required: true, id: "password-again" });
  const problem = h("p", { class: "problem", role: "alert" });
  const submit = h("button", { type: "submit" }, "Change password");
  const form = h("form", { id: "own-password" }, field("Current password", now),
    field("New password", next, { hint: "At least 8 characters. All your other sessions end." }), field("New password again", again), problem, h("div", { class: "actions" }, submit));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.textContent = next.value === again.value ? "" : "The two new passwords differ.";
    if (problem.textContent) return again.focus();
    submit.disabled = true;
    try {
      await call("PUT", "/v1/auth", { password: now.value, new_password: next.value });
      form.reset();
      note("Your password is changed.");
    } catch (error) {
      problem.textContent = error.message;
      now.focus();
    } finally {
      submit.disabled = false;
    }
    return undefined;
  });
  return form;
};

export const account = async () => [
  h("div", { class: "head" }, h("h1", {}, "Account")),
  h("section", { class: "card" }, h("h2", {}, "You"),
    h("dl", { class: "pairs" }, h("dt", {}, "E-mail address"), h("dd", {}, session.user.email), session.user.name ? [h("dt", {}, "Name"), h("dd", {}, session.user.name)] : null,
      session.teams.map((team) => [h("dt", {}, "Team"), h("dd", {}, `${team.name} (${ROLES[team.role] || team.role})`)]))),
  h("section", { class: "card" }, h("h2", {}, "Password"), password()),
];
