"""Whether a request is a Nexo server's: copy this file beside your agent.

A request may carry two signatures. That of Standard Webhooks (`webhook-signature`) also covers
the request's id and is made with every secret that is valid; the plain one (`X-Signature`)
covers neither. A request with any `webhook-` header has to have all three, so that nobody can
take the stronger signature away and have the weaker one looked at.
"""

import base64
import hashlib
import hmac
import re

MAX_AGE_SECONDS = 5 * 60
STANDARD = ("webhook-id", "webhook-timestamp", "webhook-signature")
PLAIN = ("X-Timestamp", "X-Signature")


def is_signed(headers, body, secrets, now):
    """Whether the sender knows one of the secrets and signed these very bytes just now.

    `headers` has a `get` that takes a name, `body` is what arrived: JSON that was parsed and
    written again may differ from what was signed. `now` is `time.time()`.
    """
    is_standard = any(headers.get(name) for name in STANDARD)
    values = [headers.get(name) or "" for name in (STANDARD if is_standard else PLAIN)]
    timestamp, signature = values[-2:]
    if "" in values or not re.fullmatch(r"[0-9]{1,15}", timestamp):
        return False
    if abs(now - int(timestamp)) > MAX_AGE_SECONDS:
        return False  # perhaps a copy of an old request
    if is_standard and "." in values[0]:
        return False  # what follows the dot could be taken for the timestamp
    signed = ".".join(values[:-1]).encode() + b"." + body
    sign = standard_signature if is_standard else plain_signature
    expected = [sign(secret, signed) for secret in secrets if secret]
    given = signature.split(" ") if is_standard else [signature]
    return any(same(left, right) for left in expected for right in given)


def same(left, right):
    """Takes the same time wherever the first difference is, so it can't be guessed bit by bit."""
    return hmac.compare_digest(left.encode(), right.encode())


def plain_signature(secret, signed):
    return "sha256=" + hmac.new(secret_bytes(secret), signed, hashlib.sha256).hexdigest()


def standard_signature(secret, signed):
    digest = hmac.new(standard_key(secret), signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def standard_key(secret):
    """What the base64 after `whsec_` stands for; any other secret is used as it is."""
    encoded = re.fullmatch(r"whsec_((?:[A-Za-z0-9+/]{4})*[A-Za-z0-9+/]{2,4})={0,2}", secret)
    return base64.b64decode(encoded[1] + "==") if encoded else secret_bytes(secret)


def secret_bytes(secret):
    """The bytes of the environment's variable, also where they are no text."""
    return secret.encode("utf-8", "surrogateescape")
