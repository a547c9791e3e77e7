"""A participant by hand: a stock service for TCC and saga, in Python's standard library and SQLite.

    python3 docs/participants/stock.py 8080 stock.db
    wholly serve --dev --destination stock=http://127.0.0.1:8080

With WHOLLY_ID and WHOLLY_SECRET, a credential of the coordinator's (two secrets, with a comma
between them, while it is changed), it believes signed calls only.
"""

import json
import os
import sqlite3
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from believe import Forged, believe

SCHEMA = """
create table if not exists stock (sku text primary key, free integer not null check (free >= 0),
                                  locked integer not null default 0, sold integer not null default 0);
insert or ignore into stock (sku, free) values ('tea', 1000);
create table if not exists barrier (gid text, branch text, state text not null, answer text,
                                    origin text not null, begun integer not null,
                                    primary key (gid, branch));
create table if not exists barrier_limit (origin text primary key, limit_ms integer not null);
"""


class Refused(Exception):
    """The business says no, for good."""


# The business: each runs in the local transaction that the barrier's row is written in.


def move(db, order, free, locked, sold):
    try:
        changed = db.execute(
            "update stock set free = free + ?, locked = locked + ?, sold = sold + ? where sku = ?",
            (free, locked, sold, order["sku"]),
        ).rowcount
    except sqlite3.IntegrityError:
        changed = 0
    if changed == 0:
        raise Refused("out_of_stock", f"{order['sku']} is out of stock")
    return {"warehouse": 7}


OPERATIONS = {
    "stock.lock": {
        "try": lambda db, order: move(db, order, -order["quantity"], order["quantity"], 0),
        "confirm": lambda db, order: move(db, order, 0, -order["quantity"], order["quantity"]),
        "cancel": lambda db, order: move(db, order, order["quantity"], -order["quantity"], 0),
    },
    "stock.lock-now": {
        "action": lambda db, order: move(db, order, -order["quantity"], 0, order["quantity"]),
        "compensate": lambda db, order: move(db, order, order["quantity"], 0, -order["quantity"]),
    },
}

# The barrier.

FIRST = ("try", "action")
DONE, REFUSED, KEPT = "done", "refused", True


def serve(db, call, work, payload):
    """Returns the word of the answer, whether it is kept, and the body."""
    db.execute("begin immediate")
    state, answer = look(db, call)
    if state == "stale":
        return REFUSED, not KEPT, {"code": "stale", "detail": "its transaction ended long ago"}
    op = call["op"]
    if op == "inspect":
        return DONE, not KEPT, {"state": state} | ({"reply": answer} if answer else {})
    if op in FIRST:
        if state in ("tried", "confirmed"):
            return DONE, KEPT, answer
        if state == "refused":
            return REFUSED, KEPT, answer
        if state in ("cancelled", "null_cancelled"):
            return REFUSED, KEPT, {"code": "hanging", "detail": "it was cancelled before"}
        try:
            reply = work(db, payload)
        except Refused as no:
            refusal = {"code": no.args[0], "detail": no.args[1]}
            db.execute("rollback")
            db.execute("begin immediate")
            if look(db, call)[0] == "none":
                remember(db, call, "refused", refusal)
                return REFUSED, KEPT, refusal
            raise RuntimeError("somebody came between: to be asked again") from no
        remember(db, call, "tried", reply)
        return DONE, KEPT, reply
    is_undo = op in ("cancel", "compensate")
    if is_undo and state == "none":
        remember(db, call, "null_cancelled", None)
    elif state == "tried":
        work(db, payload)
        remember(db, call, "cancelled" if is_undo else "confirmed", answer)
    elif state not in (("cancelled", "null_cancelled", "refused") if is_undo else ("confirmed",)):
        return REFUSED, not KEPT, {"code": "illegal_order", "detail": f"{op} after {state}"}
    return DONE, KEPT, None


def look(db, call):
    """The row's state and what it keeps; what lies below the limit counts as absent, and a row
    begun after the call in the same log is of a later use of the gid."""
    if call["op"] != "inspect":
        db.execute(
            "insert into barrier_limit values (?, ?) on conflict (origin) do update"
            " set limit_ms = max(limit_ms, excluded.limit_ms)",
            (call["origin"], call["limit"]),
        )
    (limit,) = db.execute(
        "select coalesce(max(limit_ms), 0) from barrier_limit where origin = ?", (call["origin"],)
    ).fetchone()
    if call["begun"] < max(limit, call["limit"]):
        return "stale", None
    row = db.execute(
        "select state, answer, origin = ? and begun > ? from barrier b where gid = ? and branch = ? and begun >="
        " coalesce((select limit_ms from barrier_limit l where l.origin = b.origin), 0)",
        (call["origin"], call["begun"], call["gid"], call["branch"]),
    ).fetchone()
    if row and row[2]:
        return "stale", None
    return (row[0], json.loads(row[1])) if row else ("none", None)


def remember(db, call, state, answer):
    db.execute(
        "insert or replace into barrier values (?, ?, ?, ?, ?, ?)",
        (call["gid"], call["branch"], state, json.dumps(answer), call["origin"], call["begun"]),
    )


# HTTP.


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            self.believe(body)
        except Forged as why:  # No answer: to the coordinator, nothing is known.
            return self.send(401, {}, {"code": "call_not_believed", "detail": str(why)})
        if "wholly-mark" not in self.headers:
            return self.send(400, {}, {"detail": "this is no call of a coordinator"})
        call = {name: self.headers[f"wholly-{name}"] for name in ("gid", "branch", "operation", "op")}
        mark = dict(part.split("=", 1) for part in self.headers["wholly-mark"].split(";"))
        call |= {"origin": mark["origin"], "begun": int(mark["begun"]), "limit": int(mark["limit"])}
        payload = json.loads(body) if body else None
        if self.headers.get("wholly-body") == "envelope":
            payload = payload["payload"]
        ops = OPERATIONS.get(call["operation"], {})
        if call["op"] not in ops and call["op"] != "inspect":
            return self.unknown(call)
        db = sqlite3.connect(DATABASE, isolation_level=None, timeout=2)
        try:
            word, is_kept, body = serve(db, call, ops.get(call["op"]), payload)
            db.execute("commit")
        except Exception as error:  # Nothing happened here: unknown, to be asked again.
            return self.send(500, {}, {"detail": str(error)})
        finally:
            db.close()
        self.answer(call, word, is_kept, body)

    def do_GET(self):
        """What is free, locked and sold, for whoever checks the books."""
        if self.path != "/books":
            return self.send(404, {}, {"detail": "no such page"})
        db = sqlite3.connect(DATABASE)
        books = db.execute("select free, locked, sold from stock where sku = 'tea'").fetchone()
        db.close()
        self.send(200, {}, dict(zip(("free", "locked", "sold"), books)))

    def believe(self, body):
        if not ID:
            return
        headers = {name.lower(): self.headers.get_all(name) for name in self.headers.keys()}
        believe(SECRETS, ID, ID, self.command, self.path, headers, body)

    def unknown(self, call):
        if call["op"] in FIRST:
            detail = {"code": "operation_unknown", "detail": call["operation"]}
            return self.answer(call, REFUSED, not KEPT, detail)
        return self.send(404, {}, {"detail": "no such operation"})

    def answer(self, call, word, is_kept, body):
        echo = ";".join(f"{name}={call[name]}" for name in ("gid", "branch", "operation", "op"))
        header = f"{word};{echo}" + (";kept" if is_kept else "")
        self.send(200 if word == DONE else 409, {"wholly-answer": header}, body)

    def send(self, status, headers, body):
        text = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    PORT, DATABASE = int(sys.argv[1]), sys.argv[2]
    ID, SECRETS = os.environ.get("WHOLLY_ID"), os.environ.get("WHOLLY_SECRET", "").split(",")
    if ID and min(len(secret) for secret in SECRETS) < 32:
        raise SystemExit("WHOLLY_SECRET: a secret has 32 characters at least")
    sqlite3.connect(DATABASE).executescript(SCHEMA)
    server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
    print(f"ready http://127.0.0.1:{PORT}", flush=True)
    server.serve_forever()
