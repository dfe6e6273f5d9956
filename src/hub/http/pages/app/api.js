// The calls of the protocol, and who is signed in. The session is in a cookie that no script can read; the header shows the hub that a
// call comes from its own app (docs/web-app.md).
"use strict";

const DOOR = "/app/api";
const FROM_APP = { "X-Masv-App": "1" };
const TEAM = "masv-team";

/** A call that was refused, or could not be made. */
export class Problem extends Error {
  constructor(message, status, kind) {
    super(message);
    this.status = status;
    this.kind = kind;
  }
}

const sentence = (text) => (/[.!?]$/.test(text) ? text : `${text.charAt(0).toUpperCase()}${text.slice(1)}.`);

/** Calls the hub; the answer's JSON, or `null` if there is none. */
export const call = async (method, path, body) => {
  const headers = { ...FROM_APP };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(`${DOOR}${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store" });
  } catch {
    throw new Problem("The hub cannot be reached. Check your connection and try again.", 0, "network");
  }
  const text = await answer.text();
  let json = null;
  try {
    json = text ? JSON.parse(text) : null;
  } catch {
    // A proxy's error page has no message to show.
  }
  if (answer.ok) return json;
  const kind = json && json.errors && json.errors[0] ? json.errors[0].type : "";
  const problem = new Problem(sentence((json && json.message) || `The hub answered ${answer.status}`), answer.status, kind);
  if (answer.status === 401 && session.user && path !== "/v1/auth") dispatchEvent(new CustomEvent("signed-out"));
  throw problem;
};

/** Who is signed in, and the team that is worked for. */
export const session = {
  user: null,
  teams: [],
  team: null,
  get isAdmin() {
    return Boolean(this.team) && ["admin", "owner"].includes(this.team.role);
  },
  get isOwner() {
    return Boolean(this.team) && this.team.role === "owner";
  },
};

const take = ({ user, teams }) => {
  session.user = user;
  session.teams = teams;
  let last = null;
  try {
    last = localStorage.getItem(TEAM);
  } catch {
    // Nothing is remembered in private windows.
  }
  session.team = teams.find(({ id }) => id === last) || teams[0] || null;
};

export const chooseTeam = (id) => {
  session.team = session.teams.find((team) => team.id === id) || session.team;
  try {
    localStorage.setItem(TEAM, id);
  } catch {
    // As above.
  }
};

/** The session that the browser has, if it is still good. */
export const resume = async () => {
  try {
    take(await call("GET", "/v1/auth"));
    return true;
  } catch (error) {
    if (error.status === 401) return false;
    throw error;
  }
};

export const signIn = async (email, password) => {
  await call("POST", "/v1/auth", { email, password });
  take(await call("GET", "/v1/auth"));
};

export const signOut = async () => {
  await call("DELETE", "/v1/auth");
  session.user = null;
};

/** The path of something of the team. */
export const ofTeam = (path, version = "v1") => `/${version}/teams/${session.team.id}${path}`;
