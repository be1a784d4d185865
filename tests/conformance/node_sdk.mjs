// Drives OpenAI's own Node.js SDK: one call a line of JSON in, what came of it a line of JSON out.
// The folder that the SDK was installed into is the only argument.

import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { createInterface } from "node:readline";

const openai = createRequire(`${resolve(process.argv[2])}/`)("openai");

async function call(order) {
  const attempts = [];
  let last;
  const client = new openai.OpenAI({
    apiKey: order.key,
    baseURL: order.url,
    maxRetries: order.retries,
    timeout: order.timeout_s * 1000,
    fetch: async (url, options) => {
      const response = await fetch(url, options);
      if (String(url).startsWith("data:")) return response; // the SDK tries what fetch can do
      attempts.push(response.status);
      last = { status: response.status, headers: Object.fromEntries(response.headers), body: null };
      if (response.headers.get("content-type")?.startsWith("text/event-stream")) return response;
      last.body = await response.text();
      return new Response(last.body, response);
    },
  });
  const answer = await outcome(client, order).catch((error) => ({ error: failure(error) }));
  return { ...last, ...answer, attempts };
}

async function outcome(client, order) {
  const path = order.method.split(".");
  const name = path.pop();
  const resource = path.reduce((object, key) => object[key], client);
  const started = performance.now();
  if (order.method === "models.list") return page((await resource.list().withResponse()).data);
  if (order.method === "models.retrieve") {
    return value((await resource.retrieve(order.fields.model).withResponse()).data);
  }
  const body = { ...order.fields, ...(order.file && { file: await file(order.file) }) };
  const { data } = await resource[name](body).withResponse();
  if (!order.fields.stream) return value(data);
  const events = [];
  for await (const event of data) {
    events.push({ at_s: (performance.now() - started) / 1000, ...value(event) });
  }
  return { events };
}

// As a stream, as a nameless Blob, or as a named File, which are the ways to give one.
async function file(given) {
  if (given.form === "open") return createReadStream(given.path);
  const bytes = await readFile(given.path);
  return given.form === "bytes" ? new Blob([bytes], { type: "audio/x-wav" }) : openai.toFile(bytes, given.name);
}

const value = (data) => ({ kind: data?.constructor?.name ?? typeof data, value: data });

// A page holds its client as well.
const page = (data) => ({ kind: data.constructor.name, value: { object: data.object, data: data.data } });

const failure = (error) => ({
  kind: error.constructor.name,
  message: String(error.message),
  status_code: error.status ?? null,
  code: error.code ?? null,
  param: error.param ?? null,
  type: error.type ?? null,
  request_id: error.requestID ?? null,
});

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await call(JSON.parse(line)))}\n`);
}
