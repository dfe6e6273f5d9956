// Sends files with the types that openapi-typescript made of docs/openapi.json and docs/hub-openapi.json, and openapi-fetch:
// tests/openapi_clients.sh compiles and runs it. Every call is checked against the documents by the compiler, and against a real agent
// and a real hub when it runs.
//
//   node generated_client.js FOLDER_OF_THE_AGENT ADDRESS_OF_THE_HUB FILE_WITH_ITS_KEY
import { strict as assert } from "node:assert";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import createClient from "openapi-fetch";
import type { paths as AgentPaths } from "./openapi.js";
import type { paths as HubPaths } from "./hub-openapi.js";

const [folder, hubAddress, keyFile] = process.argv.slice(2) as [string, string, string];

/** The content of a good answer; anything else ends the test. */
async function good<T>(answer: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await answer;
  assert.ok(response.ok && data !== undefined, `${response.url}: ${response.status} ${JSON.stringify(error)}`);
  return data;
}

async function agent(): Promise<void> {
  const { address } = JSON.parse(readFileSync(join(folder, "data", "agent.json"), "utf8"));
  const client = createClient<AgentPaths>({ baseUrl: address });
  assert.equal((await good(client.GET("/api/v1/server"))).embedded_hub, true);
  const path = join(folder, "typed.mov");
  writeFileSync(path, "typed");
  const started = await good(client.POST("/api/v1/uploads", { body: { paths: [path], package_name: "Typed" } }));
  const params = { path: { id: started.upload_id } };
  const until = Date.now() + 60_000;
  for (;;) {
    const upload = await good(client.GET("/api/v1/uploads/{id}", { params: { ...params, query: { files: true } } }));
    if (upload.state === "complete") {
      assert.equal(upload.files?.[0]?.size, 5);
      break;
    }
    assert.ok(Date.now() < until, JSON.stringify(upload));
    await new Promise((wait) => setTimeout(wait, 100));
  }
  const listed = await good(client.GET("/api/v1/uploads", { params: { query: { states: ["complete"], search: "Typed" } } }));
  assert.deepEqual(listed.transfers.map((one) => one.id), [started.upload_id]);
  const refused = await client.POST("/api/v1/uploads", { body: { paths: ["relative"] } });
  assert.equal(refused.response.status, 400);
  assert.ok(refused.error?.message);
  assert.equal((await good(client.POST("/api/v1/settings/workers", { body: { workers: 5 } }))).workers, 5);
  const removed = await client.DELETE("/api/v1/uploads/{id}", { params: { ...params, header: { "x-masv": "1" } } });
  assert.equal(removed.response.status, 204);
}

async function hub(): Promise<void> {
  const member = createClient<HubPaths>({ baseUrl: hubAddress, headers: { "X-API-KEY": readFileSync(keyFile, "utf8").trim() } });
  const [team] = await good(member.GET("/v1/teams"));
  assert.ok(team);
  const made = await good(member.POST("/v1/teams/{team}/packages", {
    params: { path: { team: team.id } },
    body: { name: "Typed", description: "by a generated client", recipients: [] },
  }));

  // The package's own token is enough for its content.
  const content = new TextEncoder().encode("camera original");
  const sender = createClient<HubPaths>({ baseUrl: hubAddress, headers: { "X-Package-Token": made.access_token } });
  const of = { path: { package: made.id } };
  const file = await good(sender.POST("/v1/packages/{package}/files", {
    params: of,
    body: { kind: "file", name: "clip.mov", path: "day 1", size: content.length, last_modified: "2026-01-02T03:04:05.000Z" },
  }));
  const begun = await fetch(file.create_blueprint.url, { method: file.create_blueprint.method, headers: file.create_blueprint.headers });
  const uploadId = /<UploadId>(.*)<\/UploadId>/.exec(await begun.text())?.[1];
  assert.ok(begun.ok && uploadId);
  const ofFile = { path: { package: made.id, file: file.file.id } };
  const [part] = await good(sender.POST("/v1/packages/{package}/files/{file}", {
    params: { ...ofFile, query: { start: 0, count: 1 } },
    body: { upload_id: uploadId },
  }));
  assert.ok(part);
  const stored = await fetch(part.url, { method: part.method, headers: part.headers, body: content });
  const etag = stored.headers.get("etag");
  assert.ok(stored.ok && etag);
  await good(sender.POST("/v1/packages/{package}/files/{file}/finalize", {
    params: ofFile,
    body: { size: content.length, chunk_extras: [{ partNumber: "1", etag }], file_extras: { upload_id: uploadId } },
  }));
  const closed = await good(sender.POST("/v1/packages/{package}/finalize", { params: of }));
  assert.equal(closed.size, content.length);

  // A recipient has the link and nothing else.
  const link = await good(member.POST("/v1/packages/{package}/links", { params: of, body: {} }));
  const stranger = createClient<HubPaths>({ baseUrl: hubAddress });
  const opened = await good(stranger.GET("/v1/links/{link}", {
    params: { path: { link: link.id }, query: { secret: link.download_secret } },
  }));
  const recipient = createClient<HubPaths>({ baseUrl: hubAddress, headers: { "X-Package-Token": opened.package_token } });
  const [listed] = await good(recipient.GET("/v1/packages/{package}/files", { params: of }));
  assert.equal(listed?.name, "clip.mov");
  const address = await good(recipient.GET("/v1/packages/{package}/files/{file}/download", { params: ofFile }));
  assert.equal(await (await fetch(address.url)).text(), "camera original");
  const wrong = await stranger.GET("/v1/links/{link}", { params: { path: { link: link.id }, query: { secret: "guess" } } });
  assert.ok(wrong.response.status >= 400 && wrong.error);
}

await agent();
await hub();
console.log("generated types drove an agent and a hub");
