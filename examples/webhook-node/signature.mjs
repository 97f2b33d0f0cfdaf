// Whether a request is a Nexo server's: copy this file beside your agent.
//
// A request may carry two signatures. That of Standard Webhooks (`webhook-signature`) also
// covers the request's id and is made with every secret that is valid; the plain one
// (`x-signature`) covers neither. A request with any `webhook-` header has to have all three,
// so that nobody can take the stronger signature away and have the weaker one looked at.

import { createHmac, timingSafeEqual } from "node:crypto";

const MAX_AGE_SECONDS = 5 * 60;
const STANDARD = ["webhook-id", "webhook-timestamp", "webhook-signature"];
const PLAIN = ["x-timestamp", "x-signature"];

/**
 * Whether the sender knows one of the secrets and signed these very bytes just now.
 *
 * `headers` has names in lower case, as Node gives them; `body` is what arrived: JSON that was
 * parsed and written again may differ from what was signed. `now` is in seconds.
 */
export function isSigned(headers, body, secrets, now) {
  const isStandard = STANDARD.some((name) => headers[name]);
  const values = (isStandard ? STANDARD : PLAIN).map((name) => headers[name] ?? "");
  const [timestamp, signature] = values.slice(-2);
  if (values.includes("") || !/^[0-9]{1,15}$/.test(timestamp)) return false;
  if (Math.abs(now - Number(timestamp)) > MAX_AGE_SECONDS) return false; // perhaps a copy
  // What follows the dot could be taken for the timestamp.
  if (isStandard && values[0].includes(".")) return false;
  const signed = Buffer.concat([Buffer.from(`${values.slice(0, -1).join(".")}.`), body]);
  const sign = isStandard ? standardSignature : plainSignature;
  const expected = secrets.filter(Boolean).map((secret) => sign(secret, signed));
  const given = isStandard ? signature.split(" ") : [signature];
  return expected.some((left) => given.some((right) => same(left, right)));
}

/** Takes the same time wherever the first difference is, so it can't be guessed bit by bit. */
function same(left, right) {
  const [one, other] = [Buffer.from(left), Buffer.from(right)];
  return one.length === other.length && timingSafeEqual(one, other);
}

function plainSignature(secret, signed) {
  return `sha256=${createHmac("sha256", secret).update(signed).digest("hex")}`;
}

function standardSignature(secret, signed) {
  return `v1,${createHmac("sha256", standardKey(secret)).update(signed).digest("base64")}`;
}

/** What the base64 after `whsec_` stands for; any other secret is used as it is. */
function standardKey(secret) {
  const encoded = /^whsec_((?:[A-Za-z0-9+/]{4})*[A-Za-z0-9+/]{2,4})={0,2}$/.exec(secret);
  return encoded ? Buffer.from(encoded[1], "base64") : secret;
}
