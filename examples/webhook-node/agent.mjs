// An agent behind a webhook, with nothing but Node's standard library.
//
// It says back what the customer said: as JSON on any path, word by word as server-sent
// events on a path that ends in /stream. Copy it and change `replyTo`.
//
//     PORT               where it listens (8081)
//     HOST               the address it listens on (all)
//     WEBHOOK_SECRET     the app's signing secret; with it, unsigned requests get 401
//     WEBHOOK_OLD_SECRET the one before, while it is being replaced
//     WEBHOOK_DELAY_MS   the pause between two streamed words (50)

import { createServer } from "node:http";
import { setTimeout as pause } from "node:timers/promises";

import { isSigned } from "./signature.mjs";

const SECRETS = [process.env.WEBHOOK_SECRET, process.env.WEBHOOK_OLD_SECRET];
const DELAY_MS = Number(process.env.WEBHOOK_DELAY_MS || 50);
const MAX_BODY_BYTES = 4 * 1024 * 1024; // ten long messages

/** A request that can't be answered; the message says why. */
class BadRequest extends Error {
  constructor(message, status = 400) {
    super(message);
    this.status = status;
  }
}

/** What the agent says. This is the function to make your own. */
function replyTo(payload) {
  const message = payload.message ?? {};
  if (!isObject(message)) throw new BadRequest("message must be an object");
  const content = message.content ?? "";
  if (typeof content !== "string") throw new BadRequest("message.content must be a string");
  return `Echo: ${content}`;
}

function parse(body) {
  let payload;
  try {
    // Strict: bytes that are not UTF-8 are refused, not replaced.
    payload = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body));
  } catch {
    throw new BadRequest("Invalid JSON");
  }
  if (!isObject(payload)) throw new BadRequest("the payload must be an object");
  return payload;
}

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

async function readBody(request) {
  const parts = [];
  let size = 0;
  // A body that is too long is answered, so its connection has to outlive the loop.
  for await (const part of request.iterator({ destroyOnReturn: false })) {
    size += part.length;
    if (size > MAX_BODY_BYTES) throw new BadRequest(`the body is over ${MAX_BODY_BYTES} bytes`, 413);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

async function handle(request, response) {
  if (request.method !== "POST") {
    response.writeHead(405, { Allow: "POST", "Content-Length": 0 }).end();
    return;
  }
  const body = await readBody(request);
  if (SECRETS.some(Boolean) && !isSigned(request.headers, body, SECRETS, Date.now() / 1000)) {
    response.writeHead(401, { "Content-Length": 0 }).end();
    return;
  }
  const reply = replyTo(parse(body));
  if (request.url.split("?")[0].endsWith("/stream")) await stream(response, reply);
  else answer(response, 200, { reply });
}

function answer(response, status, content) {
  const body = JSON.stringify(content);
  response.writeHead(status, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
  });
  response.end(body);
}

async function stream(response, reply) {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
  const words = reply.match(/\S+\s*|\s+/g) ?? [];
  for (const [index, word] of words.entries()) {
    if (index > 0) await pause(DELAY_MS);
    if (response.destroyed) return; // the client went away
    sendEvent(response, "delta", { text: word });
  }
  sendEvent(response, "done", {});
  response.end();
}

function sendEvent(response, name, data) {
  // One write for each event: it leaves at once and in one piece.
  response.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
}

const server = createServer((request, response) => {
  // A client that goes away fails the reading of its body; then there is nobody to tell.
  handle(request, response).catch((error) => {
    if (!(error instanceof BadRequest) || response.headersSent) return response.destroy();
    if (error.status === 413) response.shouldKeepAlive = false;
    answer(response, error.status, { error: error.message });
  });
});

server.listen(Number(process.env.PORT || 8081), process.env.HOST || undefined, () => {
  console.log(`webhook-node listens on port ${server.address().port}`);
});
