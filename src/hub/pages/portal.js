// Sends files to a portal: the calls that any client of the protocol makes.
"use strict";

(() => {
  const PART = 32 * 1024 * 1024;
  const MOST_PARTS = 10000;
  const WINDOW = 20;
  const AT_ONCE = 4;
  const ATTEMPTS = 8;

  const form = document.getElementById("portal");
  if (!form) return;
  const element = (id) => document.getElementById(id);
  const chosen = new Map();
  let sending = false;

  class Refused extends Error {
    constructor(message, status) {
      super(message);
      this.status = status;
    }
    get final() {
      return this.status >= 400 && this.status < 500 && this.status !== 408 && this.status !== 429;
    }
  }

  const size = (bytes) => {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let unit = 0;
    while (bytes >= 1000 && unit < units.length - 1) {
      bytes /= 1000;
      unit += 1;
    }
    return `${bytes.toFixed(unit ? 1 : 0)} ${units[unit]}`;
  };

  const total = () => [...chosen.values()].reduce((sum, { file }) => sum + file.size, 0);

  const show = () => {
    const count = chosen.size;
    element("chosen").textContent = count
      ? `${count} ${count === 1 ? "file" : "files"}, ${size(total())}`
      : "Nothing chosen yet.";
    element("send").disabled = sending || count === 0;
    element("clear").disabled = sending || count === 0;
  };

  const choose = (file, path) => {
    if (!sending) chosen.set(`${path}/${file.name}`, { file, path });
  };

  const chooseAll = (files) => {
    for (const file of files) {
      const folders = (file.webkitRelativePath || "").split("/").slice(0, -1);
      choose(file, folders.join("/"));
    }
    show();
  };

  // A dropped folder is read entry by entry; its reader answers some hundred at a time.
  const walk = async (entry, path) => {
    if (entry.isFile) {
      choose(await new Promise((resolve, reject) => entry.file(resolve, reject)), path);
      return;
    }
    const reader = entry.createReader();
    const below = path ? `${path}/${entry.name}` : entry.name;
    for (;;) {
      const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!entries.length) return;
      for (const one of entries) await walk(one, below);
    }
  };

  const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

  const persistently = async (work) => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await work();
      } catch (error) {
        if (attempt === ATTEMPTS || (error instanceof Refused && error.final)) throw error;
        element("status").textContent = "The connection was interrupted, trying again…";
        await pause(Math.random() * Math.min(30000, 500 * 2 ** attempt));
      }
    }
  };

  const call = (path, body, token) =>
    persistently(async () => {
      const headers = { "Content-Type": "application/json" };
      if (token) headers["X-Package-Token"] = token;
      const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body || {}) });
      const text = await answer.text();
      let json = {};
      try {
        json = JSON.parse(text);
      } catch {
        // A proxy's error page says nothing that we could show.
      }
      if (!answer.ok) throw new Refused(json.message || `The hub answered ${answer.status}.`, answer.status);
      return json;
    });

  // fetch() tells nothing of the progress of a body.
  const put = (url, blob, progress) =>
    new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("PUT", url);
      request.upload.onprogress = (event) => progress(event.loaded);
      request.onerror = () => reject(new Error("The connection was interrupted."));
      request.onload = () => {
        const etag = request.getResponseHeader("ETag");
        if (request.status === 200 && etag) resolve(etag);
        else reject(new Refused(`The storage answered ${request.status}.`, request.status === 403 ? 503 : request.status));
      };
      request.send(blob);
    });

  const sendFile = async ({ file, path }, pack, meter) => {
    const chunk = Math.max(PART, Math.ceil(file.size / MOST_PARTS));
    const count = Math.max(1, Math.ceil(file.size / chunk));
    const announced = await call(`/v1/packages/${pack.id}/files`, {
      kind: "file",
      name: file.name,
      path,
      size: file.size,
      chunk_size: chunk,
      last_modified: new Date(file.lastModified).toISOString(),
    }, pack.access_token);
    const blueprint = announced.create_blueprint;
    const begun = await persistently(async () => {
      const answer = await fetch(blueprint.url, { method: blueprint.method });
      if (!answer.ok) throw new Refused(`The storage answered ${answer.status}.`, answer.status);
      return answer.text();
    });
    const uploadId = new DOMParser().parseFromString(begun, "application/xml").querySelector("UploadId").textContent;
    const base = `/v1/packages/${pack.id}/files/${announced.file.id}`;
    const addresses = (start, length) =>
      call(`${base}?start=${start}&count=${length}`, { upload_id: uploadId }, pack.access_token);

    const etags = new Array(count);
    for (let start = 0; start < count; start += WINDOW) {
      const length = Math.min(WINDOW, count - start);
      const blueprints = await addresses(start, length);
      let next = 0;
      const worker = async () => {
        while (next < length) {
          const index = next;
          next += 1;
          const number = start + index;
          const blob = file.slice(number * chunk, Math.min(file.size, (number + 1) * chunk));
          let fresh = blueprints[index];
          etags[number] = await persistently(async () => {
            // An address may have expired while we waited.
            const address = fresh || (await addresses(number, 1))[0];
            fresh = null;
            return put(address.url, blob, (sent) => meter.part(announced.file.id, number, sent));
          });
          meter.part(announced.file.id, number, blob.size);
        }
      };
      await Promise.all(Array.from({ length: Math.min(AT_ONCE, length) }, worker));
    }
    await call(`${base}/finalize`, {
      size: file.size,
      chunk_size: chunk,
      file_extras: { upload_id: uploadId },
      chunk_extras: etags.map((etag, index) => ({ partNumber: String(index + 1), etag })),
    }, pack.access_token);
  };

  const newMeter = (all) => {
    const parts = new Map();
    let sent = 0;
    return {
      part(file, number, bytes) {
        const key = `${file}/${number}`;
        sent += bytes - (parts.get(key) || 0);
        parts.set(key, bytes);
        element("progress").value = all ? sent / all : 1;
        element("status").textContent = `${size(sent)} of ${size(all)} sent`;
      },
    };
  };

  const send = async () => {
    const value = (id) => (element(id) ? element(id).value : "");
    const pack = await call(`/v1/portals/${form.dataset.portal}/packages`, {
      sender: value("sender"),
      name: value("name"),
      description: value("description"),
      access_code: value("code"),
    });
    const meter = newMeter(total());
    const queue = [...chosen.values()];
    const worker = async () => {
      for (let item = queue.shift(); item; item = queue.shift()) await sendFile(item, pack, meter);
    };
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, queue.length) }, worker));
    await call(`/v1/packages/${pack.id}/finalize`, {}, pack.access_token);
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    sending = true;
    show();
    element("problem").textContent = "";
    element("progress").hidden = false;
    try {
      await send();
      chosen.clear();
      element("status").textContent = "Everything has been sent. Thank you.";
    } catch (error) {
      element("problem").textContent = error.message;
      element("status").textContent = "";
    }
    element("progress").hidden = true;
    sending = false;
    show();
  });
  element("files").addEventListener("change", (event) => chooseAll(event.target.files));
  element("folder").addEventListener("change", (event) => chooseAll(event.target.files));
  element("clear").addEventListener("click", () => {
    chosen.clear();
    show();
  });
  const drop = element("drop");
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    // The entries are gone once we wait: take them all first.
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
    for (const entry of entries) await walk(entry, "");
    show();
  });
  window.addEventListener("beforeunload", (event) => {
    if (sending) event.preventDefault();
  });
  form.hidden = false;
})();
