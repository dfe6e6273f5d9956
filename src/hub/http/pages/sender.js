// Sends files, to a portal or from the app, with the calls that any client of the protocol makes. The browser remembers what was sent, part by
// part, so that an upload resumes after a pause, a lost connection, or a page that was closed.
"use strict";

const PART = 32 * 1024 * 1024;
const MOST_PARTS = 10000;
const WINDOW = 20;
const PARTS_AT_ONCE = 4;
const FILES_AT_ONCE = 3;
const ANNOUNCED_AT_ONCE = 6;
const ATTEMPTS = 10;
// How long to wait when the hub says that it is too much, and not for how long.
const USUAL_WAIT = 30000;
// After this many damaged arrivals of one part, retrying does not help.
const DAMAGE_LIMIT = 3;

/** Something that ends an upload for now: what was sent is kept, and it can go on with the same files. */
export class Interrupted extends Error {}

/** The hub said no: the same would be refused again. */
export class Refused extends Error {}

/** What was begun is no longer on the hub, or whole there: there is nothing to go on with. */
export class Over extends Refused {}

/** An answer that is not good. */
class Answered extends Error {
  /** `wait`: how long to wait before trying again, in milliseconds, if that was said. */
  constructor(message, status, wait) {
    super(message);
    this.status = status;
    this.wait = wait;
  }
  /** Whether it is too much for now: the same is accepted later. */
  get early() {
    return this.status === 429;
  }
  /** Whether a retry is pointless. */
  get final() {
    return this.status >= 400 && this.status < 500 && this.status !== 408 && this.status !== 429;
  }
  /** As whoever uses the page needs to know it. `begun`: whether there was a package that it was about; `session`: whether somebody is signed in. */
  named(begun, session) {
    if (!this.final) return new Interrupted(this.message);
    if (session && this.status === 401) return new Interrupted("You have been signed out. What was sent is kept: sign in and choose the same files again.");
    if (begun && [401, 404, 409, 410].includes(this.status)) {
      return new Over(`The upload started here is no longer on the hub (${this.message}). Send again to start over.`);
    }
    return new Refused(this.message);
  }
}

/** The wait that an answer asks for, from its `Retry-After`. */
const waitOf = (seconds) => (Number(seconds) > 0 ? Number(seconds) * 1000 : undefined);

const settled = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/**
 * Reads what was dropped, entry by entry: `file(file, path)` for each file, `folder(name, path)` for each folder in which nothing is. A
 * folder's reader returns a hundred or so at a time.
 */
export const walk = async (entry, path, on) => {
  if (entry.isFile) {
    on.file(await new Promise((resolve, reject) => entry.file(resolve, reject)), path);
    return;
  }
  const reader = entry.createReader();
  const below = path ? `${path}/${entry.name}` : entry.name;
  for (let empty = true; ; empty = false) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) {
      // An empty folder is sent, too: it may mean something to the recipient.
      if (empty) on.folder(entry.name, path, below);
      return;
    }
    for (const one of entries) await walk(one, below, on);
  }
};

/** What was sent to one portal, or by one team. Where the browser stores nothing (private windows), it is remembered until the page is closed. */
export class Memory {
  static async open(portal) {
    const memory = new Memory();
    memory.portal = portal;
    memory.kept = new Map();
    try {
      const opening = indexedDB.open("uploads", 1);
      opening.onupgradeneeded = () => opening.result.createObjectStore("kept");
      memory.database = await settled(opening);
    } catch {
      memory.database = null;
    }
    return memory;
  }

  store(mode) {
    return this.database.transaction("kept", mode).objectStore("kept");
  }

  async get(...key) {
    const full = [this.portal, ...key];
    if (!this.database) return this.kept.get(full.join("\n"));
    return settled(this.store("readonly").get(full));
  }

  async put(value, ...key) {
    const full = [this.portal, ...key];
    if (!this.database) this.kept.set(full.join("\n"), value);
    else await settled(this.store("readwrite").put(value, full));
  }

  range(...key) {
    const full = [this.portal, ...key];
    return IDBKeyRange.bound(full, [...full, []]);
  }

  /** All values whose keys begin with `key`. */
  async all(...key) {
    if (this.database) return settled(this.store("readonly").getAll(this.range(...key)));
    const start = [this.portal, ...key].join("\n");
    return [...this.kept].filter(([name]) => name.startsWith(start)).map(([, value]) => value);
  }

  async clear() {
    this.kept.clear();
    if (this.database) await settled(this.store("readwrite").delete(this.range()));
  }
}

const waiting = (milliseconds, signal) =>
  new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal.addEventListener("abort", stop, { once: true });
  });

/** Limits how many run at a time. */
const turnstile = (places) => {
  const queue = [];
  return async (work) => {
    if (places === 0) await new Promise((resolve) => queue.push(resolve));
    else places -= 1;
    try {
      return await work();
    } finally {
      const next = queue.shift();
      if (next) next();
      else places += 1;
    }
  };
};

/** The worker that computes the MD5 of what is sent. */
class Digester {
  constructor() {
    this.waiting = new Map();
    this.next = 0;
    this.worker = new Worker("/assets/digest.js");
    this.worker.onmessage = ({ data: { id, digest, problem } }) => {
      const { resolve, reject } = this.waiting.get(id);
      this.waiting.delete(id);
      // What cannot be read now will not be readable in a moment: the file was changed or removed.
      if (digest === undefined) reject(new Interrupted(`A file cannot be read any more (${problem}): choose it again.`));
      else resolve(digest);
    };
    this.worker.onerror = (event) => {
      for (const { reject } of this.waiting.values()) reject(new Interrupted(`This browser cannot check what it sends (${event.message}).`));
      this.waiting.clear();
    };
  }

  of(blob) {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, blob });
    });
  }
}

/** The MD5 in a storage's ETag; null where the ETag is not one: joined parts, or encrypted with the storage's own key. */
const md5Of = (etag, headers) => {
  const bare = etag.replaceAll('"', "").toLowerCase();
  return /^[0-9a-f]{32}$/.test(bare) && !headers.toLowerCase().includes("x-amz-server-side-encryption: aws:kms") ? bare : null;
};

/** Where a file or an empty folder is in the package. */
const pathOf = ({ file, folder, path }) => {
  const name = file ? file.name : folder;
  return path ? `${path}/${name}` : name;
};

/**
 * One upload. `on` has `preparing(announced, all)`, `progress(bytes, path, bytesOfFile)`, `retry()` and `rest(reason, seconds)`. To a portal
 * unless `ways` says otherwise: `packages` is the path that makes a package, `base` stands before every path, `headers` go with every
 * call, and these authorise it, not a token of the package.
 */
export class Sender {
  constructor(memory, on, ways = null) {
    this.memory = memory;
    this.on = on;
    this.ways = ways || { packages: `/v1/portals/${memory.portal}/packages`, base: "", headers: {} };
    this.session = ways !== null;
    this.turn = turnstile(PARTS_AT_ONCE);
    this.digester = new Digester();
  }

  /** Stops what is in flight; confirmed parts stay. */
  pause() {
    if (this.stopper) this.stopper.abort(new DOMException("Paused", "AbortError"));
  }

  /**
   * Sends `items` ({file, path}, or {folder, path} for one in which nothing is) and closes the package; `about` makes it where there is
   * none yet; resolves to its id. All are announced before the first byte is sent: what the hub refuses, it refuses then.
   */
  async run(items, about) {
    this.stopper = new AbortController();
    this.signal = this.stopper.signal;
    this.sent = new Map();
    try {
      this.pack = await this.memory.get("package");
      if (!this.pack) {
        const made = await this.call(this.ways.packages, about);
        // Where somebody is signed in, no right lies about in the browser.
        this.pack = { id: made.id, token: this.session ? "" : made.access_token, name: about.name, sender: about.sender, recipients: about.recipients };
        await this.memory.put(this.pack, "package");
      }
      const all = [...items];
      let announced = 0;
      await this.each(all, ANNOUNCED_AT_ONCE, async (item) => {
        await (item.folder === undefined ? this.announced(item, pathOf(item)) : this.sendFolder(item));
        announced += 1;
        this.on.preparing(announced, all.length);
      });
      const withContent = all.filter((item) => item.folder === undefined);
      await this.each(withContent, FILES_AT_ONCE, (item) => this.sendFile(item));
      await this.call(`/v1/packages/${this.pack.id}/finalize`, {});
      await this.memory.clear();
      return this.pack.id;
    } catch (error) {
      // The first failure stops the others: nothing continues unseen.
      if (!this.signal.aborted) this.stopper.abort(error);
      const named = error instanceof Answered ? error.named(Boolean(this.pack), this.session) : error;
      if (named instanceof Over) await this.memory.clear();
      throw named;
    } finally {
      this.pack = null;
    }
  }

  /** Deletes the unfinished package. */
  async discard() {
    const pack = await this.memory.get("package");
    await this.memory.clear();
    if (!pack) return;
    const headers = { ...this.ways.headers };
    if (pack.token) headers["X-Package-Token"] = pack.token;
    // Failure does not matter: the package is gone already, or the hub removes it later.
    await fetch(`${this.ways.base}/v1/packages/${pack.id}`, { method: "DELETE", headers }).catch(() => {});
  }

  /** Does `work` for every item, so many at a time. */
  async each(items, atOnce, work) {
    const queue = [...items];
    const worker = async () => {
      for (let item = queue.shift(); item; item = queue.shift()) await work(item);
    };
    await Promise.all(Array.from({ length: Math.min(atOnce, queue.length) }, worker));
  }

  async persistently(work) {
    for (let attempt = 1; ; attempt += 1) {
      this.signal.throwIfAborted();
      try {
        return await work();
      } catch (error) {
        if (this.signal.aborted) throw this.signal.reason;
        const final = error instanceof Interrupted || (error instanceof Answered && error.final);
        if (error instanceof Answered && error.early) {
          // That is no failure: it goes on when the hub has said that it may.
          await this.rest(error);
          attempt -= 1;
          continue;
        }
        if (attempt === ATTEMPTS || final) throw error;
        this.on.retry();
        await waiting(Math.random() * Math.min(30000, 500 * 2 ** attempt), this.signal);
      }
    }
  }

  /** Waits as long as an answer asks, and says so every second. */
  async rest({ message, wait }) {
    const until = performance.now() + (wait || USUAL_WAIT) + Math.random() * 1000;
    for (let left = until - performance.now(); left > 0; left = until - performance.now()) {
      this.on.rest(message, Math.ceil(left / 1000));
      await waiting(Math.min(left, 1000), this.signal);
    }
  }

  call(path, body) {
    return this.persistently(async () => {
      const headers = { "Content-Type": "application/json", ...this.ways.headers };
      if (this.pack && this.pack.token) headers["X-Package-Token"] = this.pack.token;
      const answer = await fetch(`${this.ways.base}${path}`, { method: "POST", headers, body: JSON.stringify(body), signal: this.signal });
      const text = await answer.text();
      let json = {};
      try {
        json = JSON.parse(text);
      } catch {
        // A proxy's error page has no message to show.
      }
      const wait = waitOf(answer.headers.get("Retry-After"));
      if (!answer.ok) throw new Answered(json.message || `The hub answered ${answer.status}.`, answer.status, wait);
      return json;
    });
  }

  // fetch() does not report upload progress.
  put(url, blob, progress) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      const stop = () => request.abort();
      this.signal.addEventListener("abort", stop, { once: true });
      request.open("PUT", url);
      request.upload.onprogress = (event) => progress(event.loaded);
      request.onabort = () => reject(this.signal.reason);
      request.onerror = () => reject(new Error("The connection was interrupted."));
      request.onload = () => {
        const etag = request.getResponseHeader("ETag");
        if (request.status === 200 && etag) resolve({ etag, stored: md5Of(etag, request.getAllResponseHeaders()) });
        else if (request.status === 200) reject(new Interrupted("The storage hides what it has got (CORS, ETag): tell who runs this portal."));
        // An address that has expired is replaced by a fresh one.
        else {
          const wait = waitOf(request.getResponseHeader("Retry-After"));
          reject(new Answered(`The storage answered ${request.status}.`, request.status === 403 ? 503 : request.status, wait));
        }
      };
      request.onloadend = () => this.signal.removeEventListener("abort", stop);
      request.send(blob);
    });
  }

  tell(path, number, bytes) {
    const parts = this.sent.get(path) || new Map();
    this.sent.set(path, parts);
    parts.set(number, bytes);
    let ofFile = 0;
    for (const part of parts.values()) ofFile += part;
    let all = 0;
    for (const file of this.sent.values()) for (const part of file.values()) all += part;
    this.on.progress(all, path, ofFile);
  }

  /** The file as announced, now or before the page was reloaded. */
  async announced({ file, path }, full) {
    const known = await this.memory.get("file", full);
    if (known && known.size === file.size && known.modified === file.lastModified) return known;
    const chunk = Math.max(PART, Math.ceil(file.size / MOST_PARTS));
    const made = await this.call(`/v1/packages/${this.pack.id}/files`, {
      kind: "file",
      name: file.name,
      path,
      size: file.size,
      chunk_size: chunk,
      last_modified: new Date(file.lastModified).toISOString(),
    });
    const blueprint = made.create_blueprint;
    const begun = await this.persistently(async () => {
      const headers = blueprint.headers || {};
      const answer = await fetch(blueprint.url, { method: blueprint.method, headers, signal: this.signal });
      if (!answer.ok) throw new Answered(`The storage answered ${answer.status}.`, answer.status);
      return answer.text();
    });
    const upload = new DOMParser().parseFromString(begun, "application/xml").querySelector("UploadId").textContent;
    const { size, lastModified: modified } = file;
    const record = { id: made.file.id, path: full, upload, chunk, size, modified, done: false };
    await this.memory.put(record, "file", full);
    return record;
  }

  async sendFolder({ folder, path }) {
    const full = pathOf({ folder, path });
    const known = await this.memory.get("file", full);
    if (known) return;
    const made = await this.call(`/v1/packages/${this.pack.id}/files`, { kind: "directory", name: folder, path, size: 0 });
    await this.memory.put({ id: made.file.id, path: full, folder: true, done: true }, "file", full);
  }

  async sendFile(item) {
    const { file } = item;
    const full = pathOf(item);
    const record = await this.announced(item, full);
    const { chunk } = record;
    if (record.done) return this.tell(full, 0, file.size);
    const count = Math.max(1, Math.ceil(file.size / chunk));
    const length = (number) => Math.min(file.size, (number + 1) * chunk) - number * chunk;
    const etags = new Array(count);
    for (const { number, etag } of await this.memory.all("part", record.id)) {
      etags[number] = etag;
      this.tell(full, number, length(number));
    }
    const base = `/v1/packages/${this.pack.id}/files/${record.id}`;
    const addresses = (start, wanted) =>
      this.call(`${base}?start=${start}&count=${wanted}`, { upload_id: record.upload });

    const sendPart = async (number, blueprint) => {
      let fresh = blueprint;
      let damaged = 0;
      const blob = file.slice(number * chunk, number * chunk + length(number));
      const etag = await this.persistently(async () => {
        // A URL may have expired while we waited.
        const address = fresh || (await addresses(number, 1))[0];
        fresh = null;
        const sending = this.put(address.url, blob, (bytes) => this.tell(full, number, bytes));
        const [{ etag: tag, stored }, digest] = await Promise.all([sending, this.digester.of(blob)]);
        if (stored === null || stored === digest) return tag;
        damaged += 1;
        if (damaged < DAMAGE_LIMIT) throw new Error("A part arrived damaged.");
        throw new Interrupted(`${full} arrives damaged: something on the way changes it. Try another network.`);
      });
      etags[number] = etag;
      await this.memory.put({ number, etag }, "part", record.id, number);
      this.tell(full, number, blob.size);
    };

    for (let start = 0; start < count; ) {
      if (etags[start] !== undefined) {
        start += 1;
        continue;
      }
      let end = start + 1;
      while (end < count && end - start < WINDOW && etags[end] === undefined) end += 1;
      const blueprints = await addresses(start, end - start);
      const first = start;
      await Promise.all(blueprints.map((blueprint, index) => this.turn(() => sendPart(first + index, blueprint))));
      start = end;
    }
    await this.call(`${base}/finalize`, {
      size: file.size,
      chunk_size: chunk,
      file_extras: { upload_id: record.upload },
      chunk_extras: etags.map((etag, index) => ({ partNumber: String(index + 1), etag })),
    });
    await this.memory.put({ ...record, done: true }, "file", full);
  }
}
