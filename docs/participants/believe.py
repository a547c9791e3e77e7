"""Whether a call was signed by the coordinator: RFC 9421 with hmac-sha256, in Python's standard library.

    python3 docs/participants/believe.py          checks the worked example of contract.md
"""

import base64
import hashlib
import hmac
import re
import time

COVERED = ["@method", "@path", "wholly-audience", "wholly-gid", "wholly-branch", "wholly-operation",
           "wholly-op", "wholly-mark", "content-digest"]
SKEW = 60  # seconds that the two clocks may differ


class Forged(Exception):
    """Answer 401, without wholly-answer: nothing is known, and a good call comes again."""


def signing_key(secret):
    return hmac.new(secret.encode(), b"wholly-signature-1", hashlib.sha256).digest()


def believe(secrets, keyid, audience, method, path, headers, body, now=None):
    """Raises Forged unless the call was signed for this service a short while ago. `headers` maps
    lower-case names to lists of values."""

    def value(name):
        if name in ("@method", "@path"):
            return method if name == "@method" else path
        values = headers.get(name, [])
        if len(values) != 1 or name.startswith("@"):
            raise Forged(f"{name} is not there exactly once")
        return values[0].strip()

    described = re.fullmatch(r'wholly=(\(("[a-z0-9@_-]+"(?: "[a-z0-9@_-]+")*)\)(;.*))',
                             value("signature-input"))
    signature = re.fullmatch(r"wholly=:([A-Za-z0-9+/=]+):", value("signature"))
    if not described or not signature:
        raise Forged("the signature is none of ours")
    parameters, components = described[1], [name.strip('"') for name in described[2].split(" ")]
    said = dict(part.split("=", 1) for part in described[3][1:].split(";"))
    must = COVERED + (["wholly-body"] if "wholly-body" in headers else [])
    if not set(must) <= set(components) or len(set(components)) != len(components):
        raise Forged("the signature does not cover everything, or something twice")
    if said.get("keyid") != f'"{keyid}"' or said.get("alg") != '"hmac-sha256"':
        raise Forged("the signature is for another credential, or of another kind")
    base = "".join(f'"{name}": {value(name)}\n' for name in components)
    base += f'"@signature-params": {parameters}'
    shown = base64.b64decode(signature[1])
    made = [hmac.new(signing_key(secret), base.encode(), hashlib.sha256).digest() for secret in secrets]
    if not any([hmac.compare_digest(tag, shown) for tag in made]):
        raise Forged("no secret of ours has made the signature, or what it covers was changed")
    now = time.time() if now is None else now
    if not int(said["created"]) - SKEW <= now <= int(said["expires"]) + SKEW:
        raise Forged("the signature has expired, or was made in the future")
    if value("wholly-audience") != audience:
        raise Forged("the call is for another service")
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    if value("content-digest") != f"sha-256=:{digest}:":
        raise Forged("the body is another one")


EXAMPLE = {
    "wholly-audience": "stock",
    "wholly-gid": "order-4711",
    "wholly-branch": "stock",
    "wholly-operation": "stock.lock",
    "wholly-op": "try",
    "wholly-mark": "origin=a1;begun=17;limit=3",
    "wholly-body": "envelope",
    "content-digest": "sha-256=:FVRZi5HN/5HRrZXM1nazx0A64SGz1sVeuXsrkKiKO5k=:",
    "signature-input": 'wholly=("@method" "@path" "wholly-audience" "wholly-gid" "wholly-branch"'
                       ' "wholly-operation" "wholly-op" "wholly-mark" "content-digest" "wholly-body")'
                       ';created=1700000000;expires=1700000065;keyid="stock";alg="hmac-sha256"',
    "signature": "wholly=:Bdls5+TuvpLglSo1yV0ILMU6ZNFWhaxKlnT0tqmgJ6w=:",
}


if __name__ == "__main__":
    call = {
        "secrets": ["0123456789abcdef0123456789abcdef"], "keyid": "stock", "audience": "stock",
        "method": "POST", "path": "/wholly/stock.lock", "now": 1700000010,
        "headers": {name: [text] for name, text in EXAMPLE.items()},
        "body": b'{"order":"4711","sku":"tea","quantity":2}',
    }
    believe(**call)
    for change in ({"method": "PUT"}, {"path": "/wholly/stock.free"}, {"audience": "points"},
                   {"body": b"{}"}, {"now": 1700000126}, {"now": 1699999939}, {"keyid": "points"},
                   {"secrets": ["fedcba9876543210fedcba9876543210"]},
                   *({"headers": call["headers"] | {name: ["other"]}} for name in EXAMPLE)):
        try:
            believe(**(call | change))
        except Forged:
            continue
        raise SystemExit(f"believed with {change}")
    print("the example is believed, and nothing that was changed in it")
